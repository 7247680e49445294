# Pairs to train on.
for i in $(seq 40); do echo "{\"in0\": [$i], \"in1\": [$((i % 7))], \"label\": $((i % 2))}"; done > train.jsonl
