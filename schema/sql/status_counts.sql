-- What needs a look, for `taskscan status`.
SELECT (SELECT count(*) FROM chain.unknown_logs),
       (SELECT coalesce(sum(times), 0) FROM chain.incidents WHERE last_at > now() - interval '1 day');
