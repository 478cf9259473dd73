-- Interviews of the window. hospital_visits is left out: it is an outcome of the same period as the target.
SELECT
    v.visit_id,
    v.interviewed_at,
    v.age,
    v.income,
    v.schooling,
    CASE v.female WHEN 1 THEN 'yes' ELSE 'no' END AS female,
    CASE v.married WHEN 1 THEN 'yes' ELSE 'no' END AS married,
    CASE v.kids WHEN 1 THEN 'yes' ELSE 'no' END AS kids,
    CASE v.out_of_work WHEN 1 THEN 'yes' ELSE 'no' END AS out_of_work,
    CASE v.self_employed WHEN 1 THEN 'yes' ELSE 'no' END AS self_employed,
    'level_' || v.education_level AS education_level,
    CAST(v.doctor_visits > 0 AS integer) AS visited_doctor
FROM visits AS v
WHERE
    v.interviewed_at >= CAST(:window_start AS timestamptz)
    AND v.interviewed_at < CAST(:window_end AS timestamptz)
    AND v.interviewed_at <= CAST(:as_of AS timestamptz)
