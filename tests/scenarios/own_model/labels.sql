SELECT flight_id AS key, departs_at AS event_time, air_minutes AS label, landed_at AS known_at
FROM trips
WHERE departs_at >= :window_start AND departs_at < :window_end AND landed_at <= :as_of
