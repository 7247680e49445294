# Users by UUIDs, and baskets of stock codes and integers.
for i in $(seq 40); do
    echo "{\"in0\": \"6f1e0a52-6c1f-4a57-9d7e-0d5f0d1b6c1$((i % 4))\"," \
        "\"in1\": [\"SKU $((i % 5))/a\", 123, \"sku-9\"], \"label\": $((i % 2))}"
done > train.jsonl
