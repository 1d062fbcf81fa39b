-- The settings of a session: sums and quotients are returned in types that every client library can read, as by
-- Firebird up to version 3. Firebird before version 4 knows neither the newer types nor these statements.

-- name: integers_of_128_bits
set bind of int128 to legacy

-- name: floats_of_34_digits
set bind of decfloat to legacy

-- name: times_with_a_zone
set bind of time zone to legacy
