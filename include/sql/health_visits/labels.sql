-- The answer is known when the interview ends. Whether a person is female is no feature: it comes with the label, for bias.
SELECT
    v.visit_id AS key,
    v.interviewed_at AS event_time,
    CAST(v.doctor_visits > 0 AS integer) AS label,
    v.interviewed_at AS known_at,
    CASE v.female WHEN 1 THEN 'yes' ELSE 'no' END AS female
FROM visits AS v
WHERE
    v.interviewed_at >= CAST(:window_start AS timestamptz)
    AND v.interviewed_at < CAST(:window_end AS timestamptz)
    AND v.interviewed_at <= CAST(:as_of AS timestamptz)
