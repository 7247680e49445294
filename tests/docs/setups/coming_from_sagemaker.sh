# The hyperparameters of the page, and the channels of a job.
source "$PYTHONPATH/tests/docs/setups/http.sh"
mkdir -p channels/train channels/validation channels/test
cp data/movielens/rating/ua.base.fit.jsonl channels/train/
cp data/movielens/rating/ua.base.held_out.jsonl channels/validation/
cp data/movielens/rating/ua.base.held_out.jsonl channels/test/test.jsonl
python - <<'END'
import os
import re
from pathlib import Path

page = Path(os.environ["PYTHONPATH"], "docs/coming_from_sagemaker.md").read_text()
block = re.search(r"```json\n(.*?)```", page, re.DOTALL)[1]
Path("hyperparameters.json").write_text(block)
END
