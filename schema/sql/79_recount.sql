-- Definitions may have changed with this version: count anew, with writers kept out until the upgrade is done.
LOCK TABLE arbius.tasks, arbius.solutions, arbius.contestations, iexec.deals, iexec.tasks, iexec.contributions
    IN SHARE ROW EXCLUSIVE MODE;
SELECT analytics.recount();
