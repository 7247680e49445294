"""Writes the scores of a model of implicit for all users and movies.

Runs in an environment with implicit. Arguments: an .npz file with the array liked, bool
[users, movies]; the .npy file to write, float32 [users, movies]; the class of implicit;
and its arguments as JSON. Prints the seconds of training.
"""

import json
import sys
import time

import numpy as np
import scipy.sparse
from implicit.als import AlternatingLeastSquares
from implicit.bpr import BayesianPersonalizedRanking

MODELS = {
    "AlternatingLeastSquares": AlternatingLeastSquares,
    "BayesianPersonalizedRanking": BayesianPersonalizedRanking,
}

input_file, output_file, name, arguments = sys.argv[1:]
liked = scipy.sparse.csr_matrix(np.load(input_file)["liked"].astype(np.float32))
start = time.perf_counter()
model = MODELS[name](use_gpu=False, num_threads=2, **json.loads(arguments))
model.fit(liked, show_progress=False)
seconds = time.perf_counter() - start
np.save(output_file, model.user_factors @ model.item_factors.T)
print(seconds)
