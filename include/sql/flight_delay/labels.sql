-- True outcomes of flights in the window, as far as they were known at :as_of.
SELECT
    a.flight_id AS key,
    a.scheduled_departure AS event_time,
    CAST(a.arrival_delay > 15 AS integer) AS label,
    a.known_at
FROM arrivals AS a
WHERE
    a.scheduled_departure >= CAST(:window_start AS timestamptz)
    AND a.scheduled_departure < CAST(:window_end AS timestamptz)
    AND a.known_at <= CAST(:as_of AS timestamptz)
