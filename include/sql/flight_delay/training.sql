-- Flights of the window whose arrival was known at :as_of, with what was known before they left.
-- `departures` is made of schedule, weather and plane only. The columns of `arrivals` (dep_time, dep_delay, arr_time, air_time)
-- would leak: they are known after departure, some after landing. Only the target is made of that table.
SELECT
    d.flight_id,
    d.scheduled_departure,
    d.distance,
    d.scheduled_minutes,
    d.departures_that_hour,
    d.temp,
    d.dewp,
    d.humid,
    d.wind_speed,
    d.precip,
    d.visib,
    d.seats,
    d.plane_age,
    d.carrier,
    d.origin,
    d.dest,
    d.hour,
    d.day_of_week,
    CAST(a.arrival_delay > 15 AS integer) AS arrived_late
FROM departures AS d
INNER JOIN arrivals AS a ON a.flight_id = d.flight_id
WHERE
    d.scheduled_departure >= CAST(:window_start AS timestamptz)
    AND d.scheduled_departure < CAST(:window_end AS timestamptz)
    AND a.known_at <= CAST(:as_of AS timestamptz)
