-- What is the record of this worker?
SELECT * FROM analytics.worker_records WHERE worker = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8';

-- Who hands in work fastest?
SELECT network, worker, submitted, p50_seconds FROM analytics.worker_records
WHERE submitted > 10 ORDER BY p50_seconds LIMIT 10;

-- Who loses the largest part of what is decided?
SELECT worker, lost::float8 / (accepted + lost) AS part, lost FROM analytics.worker_records
WHERE accepted + lost > 0 ORDER BY part DESC, lost DESC LIMIT 10;
