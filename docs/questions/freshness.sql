-- How many seconds does each contract lag behind?
SELECT network, chain, source, lag_seconds FROM analytics.freshness ORDER BY lag_seconds DESC NULLS FIRST;

-- What is still to be read, and what to be asked for?
SELECT network, chain, source, head_block - read_to AS blocks, to_enrich FROM analytics.freshness ORDER BY blocks DESC;

-- Where are events read but not yet in the entities?
SELECT network, chain, source, read_to, folded_to FROM analytics.freshness WHERE folded_to < read_to;
