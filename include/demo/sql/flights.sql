-- The airline's tables, made twice by data.py under two search paths: in `public` what has happened, in `future` what the replay
-- has still to bring. The same view over both makes a replayed request and a later training row agree.
DROP TABLE IF EXISTS flights, arrivals, weather, planes CASCADE;

-- The schedule: known before departure.
CREATE TABLE flights (
    flight_id text NOT NULL,                       -- carrier and number, origin, scheduled local departure: UA1545-EWR-20130101-0515
    scheduled_departure timestamptz NOT NULL,
    carrier text NOT NULL,
    tailnum text,
    origin text NOT NULL,
    dest text NOT NULL,
    distance double precision NOT NULL,            -- miles
    scheduled_minutes double precision NOT NULL,   -- scheduled arrival less scheduled departure, each by its own local clock
    departures_that_hour double precision NOT NULL -- scheduled at the same airport in the same hour
);

-- The outcome: known only afterwards. A flight that was cancelled or diverted has no row, so it never gets a label.
CREATE TABLE arrivals (
    flight_id text NOT NULL,
    scheduled_departure timestamptz NOT NULL,
    dep_time int, dep_delay int, arr_time int, air_time int,   -- kept as sources keep them; a model that reads one of them leaks
    arrival_delay int NOT NULL,                                -- minutes
    known_at timestamptz NOT NULL                              -- departure, time in the air, and an hour for taxi and paper work
);

-- Observed weather by airport and hour, standing in for the forecast that an airline has before departure.
CREATE TABLE weather (
    origin text NOT NULL,
    hour timestamptz NOT NULL,
    temp double precision, dewp double precision, humid double precision, wind_speed double precision,   -- F, F, %, mph
    precip double precision, pressure double precision, visib double precision,                          -- inches, mbar, miles
    PRIMARY KEY (origin, hour)
);

CREATE TABLE planes (tailnum text PRIMARY KEY, built int, seats double precision);

-- All that is known about a flight before it leaves.
CREATE VIEW departures AS
SELECT
    flights.flight_id,
    flights.scheduled_departure,
    flights.carrier,
    flights.origin,
    flights.dest,
    to_char(flights.scheduled_departure AT TIME ZONE 'America/New_York', '"h"HH24') AS hour,
    trim(to_char(flights.scheduled_departure AT TIME ZONE 'America/New_York', 'day')) AS day_of_week,
    flights.distance,
    flights.scheduled_minutes,
    flights.departures_that_hour,
    weather.temp,
    weather.dewp,
    weather.humid,
    weather.wind_speed,
    weather.precip,
    weather.pressure,
    weather.visib,
    planes.seats,
    extract(YEAR FROM flights.scheduled_departure AT TIME ZONE 'America/New_York')::double precision - planes.built AS plane_age
FROM flights
LEFT JOIN weather ON weather.origin = flights.origin AND weather.hour = date_trunc('hour', flights.scheduled_departure, 'UTC')
LEFT JOIN planes ON planes.tailnum = flights.tailnum;
