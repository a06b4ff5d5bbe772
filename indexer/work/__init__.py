"""The job queue of block ranges, spoken through Aidbox's Task Executor API: server, client, worker, backfill."""
