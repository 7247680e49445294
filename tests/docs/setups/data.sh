# A directory of JSON Lines, and a Parquet file.
mkdir train
for i in $(seq 40); do
    echo "{\"in0\": [$i], \"in1\": [$((i * 5))], \"label\": $((i % 2))}"
done > train/part-0.jsonl
python - <<'END'
import pyarrow as pa, pyarrow.parquet as pq

columns = {"in0": [[3], [7]], "in1": [[4], [9]], "label": [1, 0]}
pq.write_table(pa.table(columns), "valid.parquet")
END
