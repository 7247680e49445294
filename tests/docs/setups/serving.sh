# A run.
source "$PYTHONPATH/tests/docs/setups/http.sh"
python -m object2vec_tf.fit --model_dir=run --output_layer=mean_squared_error \
    --train=data/movielens/rating/ua.base.fit.jsonl \
    --enc0_network=pooled_embedding --enc0_vocab_size=944 --enc0_max_seq_len=1 \
    --enc1_network=pooled_embedding --enc1_vocab_size=1683 --enc1_max_seq_len=1 \
    --enc_dim=8 --epochs=1 --mini_batch_size=512
