"""`taskscan` that folds nothing: how fast are the event tables filled alone?"""

from unittest.mock import patch

from indexer.__main__ import main

if __name__ == "__main__":
    with (
        patch("indexer.ingest.scan.fold_portion", lambda *_: False),
        patch("indexer.ingest.scan.fold_chain", lambda *_: 0),
        patch("indexer.store.write.fold_locked", lambda *_: 0),
    ):
        main()
