-- Split the year, moved on by the episode's shift, at the cut: before it to `public`, after it to `future`. Indexes come last: that
-- takes half the time. Parameters: shift (whole weeks), years (that many are added to a plane's year of building), cut.
CREATE TEMP TABLE moved ON COMMIT DROP AS
SELECT
    carrier || flight || '-' || origin || '-' || to_char(leaves, 'YYYYMMDD-HH24MI') AS flight_id,
    leaves AT TIME ZONE 'America/New_York' AS scheduled_departure,
    carrier, tailnum, origin, dest, distance,
    (sched_arr_time / 100 * 60 + sched_arr_time %% 100 - hour * 60 - minute + 1440) %% 1440 AS scheduled_minutes,
    count(*) OVER (PARTITION BY origin, month, day, hour) AS departures_that_hour,
    dep_time, dep_delay, arr_time, air_time, arr_delay,
    leaves AT TIME ZONE 'America/New_York' + make_interval(mins => dep_delay + air_time + 60) AS known_at
FROM (
    SELECT *, make_timestamp(year, month, day, hour, minute, 0) + %(shift)s AS leaves FROM source.flights
) AS shifted;

INSERT INTO public.flights
SELECT flight_id, scheduled_departure, carrier, tailnum, origin, dest, distance, scheduled_minutes, departures_that_hour
FROM moved WHERE scheduled_departure < %(cut)s;
INSERT INTO future.flights
SELECT flight_id, scheduled_departure, carrier, tailnum, origin, dest, distance, scheduled_minutes, departures_that_hour
FROM moved WHERE scheduled_departure >= %(cut)s;

INSERT INTO public.arrivals
SELECT flight_id, scheduled_departure, dep_time, dep_delay, arr_time, air_time, arr_delay, known_at
FROM moved WHERE arr_delay IS NOT NULL AND known_at <= %(cut)s;
INSERT INTO future.arrivals
SELECT flight_id, scheduled_departure, dep_time, dep_delay, arr_time, air_time, arr_delay, known_at
FROM moved WHERE arr_delay IS NOT NULL AND known_at > %(cut)s;

INSERT INTO future.weather
SELECT
    origin, (time_hour AT TIME ZONE 'America/New_York' + %(shift)s) AT TIME ZONE 'America/New_York',
    temp, dewp, humid, wind_speed, precip, pressure, visib
FROM source.weather
ON CONFLICT DO NOTHING;   -- the hour that clocks repeat in autumn
INSERT INTO public.weather SELECT * FROM future.weather WHERE hour < %(cut)s;

INSERT INTO future.planes SELECT tailnum, year + %(years)s, seats FROM source.planes;
INSERT INTO public.planes SELECT * FROM future.planes;

CREATE INDEX ON future.flights (scheduled_departure);
CREATE INDEX ON future.arrivals (known_at);
CREATE INDEX ON future.weather (hour);
ALTER TABLE public.flights ADD PRIMARY KEY (flight_id);
ALTER TABLE public.arrivals ADD PRIMARY KEY (flight_id);
CREATE INDEX ON public.flights (scheduled_departure);
CREATE INDEX ON public.arrivals (scheduled_departure);
CREATE INDEX ON public.arrivals (known_at);
CREATE INDEX ON public.weather (hour);
ANALYZE public.flights, public.arrivals, public.weather, future.flights, future.arrivals, future.weather;
