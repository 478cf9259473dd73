-- The packages' tables as they come, loaded once: columns and order are those of the CSV files.
CREATE SCHEMA source;

CREATE TABLE source.flights (
    year int, month int, day int, dep_time int, sched_dep_time int, dep_delay int, arr_time int, sched_arr_time int, arr_delay int,
    carrier text, flight int, tailnum text, origin text, dest text, air_time int, distance int, hour int, minute int,
    time_hour timestamptz
);

CREATE TABLE source.weather (
    origin text, year int, month int, day int, hour int, temp float8, dewp float8, humid float8, wind_dir float8, wind_speed float8,
    wind_gust float8, precip float8, pressure float8, visib float8, time_hour timestamptz
);

CREATE TABLE source.planes (
    tailnum text, year int, type text, manufacturer text, model text, engines int, seats int, speed int, engine text
);

CREATE TABLE source.visits (
    rownames int, id int, docvis int, hospvis int, year int, edlevel int, age int, outwork int, female int, married int, kids int,
    hhninc float8, educ float8, self int, edlevel1 int, edlevel2 int, edlevel3 int, edlevel4 int
);
