#!/bin/sh
# Copies our files to their places in a checkout of YANN: sh apply.sh path/to/yann
set -eu
from=$(dirname "$0")
cp "$from/weight_norm.py" "$1/yann/core/weight_norm.py"
cp "$from/network.py" "$1/yann/special/weight_norm.py"
cp "$from/tutorial.py" "$1/pantry/tutorials/weight_norm.py"
cp "$from/tutorial.rst" "$1/docs/source/pantry/tutorials/weight_norm.rst"
