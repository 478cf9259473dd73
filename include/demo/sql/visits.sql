-- The panel as one table. The survey gives the year only; a fixed spread over the year (by person) gives rows an order in time.
DROP TABLE IF EXISTS public.visits;

CREATE TABLE public.visits (
    visit_id text PRIMARY KEY,                   -- person and year: 17-1986
    interviewed_at timestamptz NOT NULL,
    female int NOT NULL, age double precision NOT NULL, married int NOT NULL, kids int NOT NULL,
    income double precision, schooling double precision,          -- yearly household income in 10,000 marks; years
    education_level int NOT NULL, out_of_work int NOT NULL, self_employed int NOT NULL,
    doctor_visits int NOT NULL, hospital_visits int NOT NULL      -- the outcomes of the same year
);
INSERT INTO public.visits
SELECT
    id || '-' || year,
    make_timestamptz(year, 1, 1, 12, 0, 0, 'UTC') + make_interval(days => id * 37 %% 365),
    female, age, married, kids, hhninc, educ, edlevel, outwork, self, docvis, hospvis
FROM source.visits;
