-- Flights of the window that have landed, with what was known before they left.
SELECT flight_id, departs_at, tailnum, carrier, origin, dest, hour, distance, air_minutes
FROM trips
WHERE departs_at >= :window_start AND departs_at < :window_end AND landed_at <= :as_of
