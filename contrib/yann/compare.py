"""
Does weight normalization pay in YANN? Its own networks, without and with, at several rates.

    python contrib/yann/compare.py --yann yann --data data --out contrib/yann/runs.csv

Python 2.7 with YANN's requirements. Adds a row for each run that the file does not have yet.
The networks and their optimizers are those of YANN's tutorials: mlp.py and lenet5 of lenet.py.
"""

from __future__ import print_function

import argparse
import csv
import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from itertools import product

import numpy

try:
    import cPickle as pickle  # YANN reads its data sets by it
except ImportError:
    import pickle

BATCH = 100
COLUMNS = ["data", "network", "arm", "rate", "seed", "images", "epochs",
           "test_error_percent", "last_training_loss", "commit", "processor"]
RATES = {"mlp": (0.05, 0.01, 0.001), "lenet": (0.001, 0.0003, 0.0001)}
"""The tutorials' rates are 0.01 and then 0.001 for mlp, 0.0001 for lenet."""


def idx(path):
    with open(path, "rb") as file:
        dims = struct.unpack(">BBBB", file.read(4))[3]
        shape = struct.unpack(">" + "I" * dims, file.read(4 * dims))
        return numpy.frombuffer(file.read(), numpy.uint8).reshape(shape)


def mnist(data):
    """(images, labels) for training, for the test; pixels in [0, 1]."""
    raw = os.path.join(data, "MNIST", "raw")
    for part in ("train", "t10k"):
        images, labels = (idx(os.path.join(raw, part + end)) for end in (
            "-images-idx3-ubyte", "-labels-idx1-ubyte"))
        yield images.reshape(len(images), -1) / 255.0, labels


def cifar10(data):
    """As ``mnist``. A picture's numbers are ordered as YANN's input layer takes them apart."""
    folder = os.path.join(data, "cifar-10-batches-py")
    for names in (["data_batch_%d" % k for k in range(1, 6)], ["test_batch"]):
        batches = []
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                batches.append(pickle.load(file))  # noqa: S301 - the user's own data
        images = numpy.concatenate([each["data"] for each in batches])
        images = images.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = numpy.concatenate([each["labels"] for each in batches])
        yield images.reshape(len(images), -1) / 255.0, labels


def write_dataset(folder, data, name, limit):
    """One of YANN's data sets. The last 10 000 training images are for its validation."""
    (x, y), (x_test, y_test) = {"mnist": mnist, "cifar10": cifar10}[name](data)
    parts = {"train": (x[:-10000][:limit], y[:-10000][:limit]), "valid": (x[-10000:], y[-10000:]),
             "test": (x_test, y_test)}
    for part, (images, labels) in parts.items():
        os.makedirs(os.path.join(folder, part))
        with open(os.path.join(folder, part, "batch_0.pkl"), "wb") as file:
            pickle.dump((images.astype("float32"), labels.astype("float32")), file, 2)
    size, channels = {"mnist": (28, 1), "cifar10": (32, 3)}[name]
    counts = [len(parts[part][0]) // BATCH for part in ("train", "valid", "test")]
    with open(os.path.join(folder, "data_params.pkl"), "wb") as file:
        pickle.dump({"location": folder, "mini_batch_size": BATCH, "cache_batches": tuple(counts),
                     "batches2train": 1, "batches2test": 1, "batches2validate": 1, "height": size,
                     "width": size, "channels": channels, "cache": True}, file, 2)


def build(name, dataset, arm, rng):
    from yann.special.weight_norm import weight_norm_network

    optimizers = {
        "mlp": {"momentum_type": "polyak", "momentum_params": (0.65, 0.9, 30),
                "optimizer_type": "adagrad", "id": "main"},
        "lenet": {"momentum_type": "nesterov", "momentum_params": (0.65, 0.97, 30),
                  "optimizer_type": "rmsprop", "id": "main"},
    }
    filters = [("conv_pool", {"num_neurons": 20, "filter_size": (5, 5), "pool_size": (2, 2)}),
               ("conv_pool", {"num_neurons": 50, "filter_size": (3, 3), "pool_size": (2, 2)})]
    layers = {"mlp": [("dot_product", {"num_neurons": 800})] * 2,
              "lenet": filters + [("dot_product", {"num_neurons": 1250})] * 2}[name]

    net = weight_norm_network(verbose=0)
    net.rng = rng
    net.add_module(type="optimizer", params=optimizers[name], verbose=0)
    net.add_module(type="datastream", verbose=0,
                   params={"dataset": dataset, "svm": False, "n_classes": 10, "id": "data"})
    net.add_module(type="visualizer", verbose=0,
                   params={"root": os.path.join(dataset, "pictures"), "id": "main"})
    net.add_module(type="resultor", verbose=0,
                   params={"root": os.path.join(dataset, "results"), "id": "main"})
    net.add_layer(type="input", id="input", datastream_origin="data", verbose=0)
    norm = {"weight_norm": arm == "wn", "verbose": 0}
    for k, (kind, options) in enumerate(layers):
        net.add_layer(type=kind, id="layer%d" % k, activation="relu", **dict(options, **norm))
    net.add_layer(type="classifier", id="softmax", num_classes=10, activation="softmax", **norm)
    net.add_layer(type="objective", id="obj", origin="softmax", objective="nll", verbose=0)
    net.cook(verbose=0)
    return net


def train(net, rate, epochs):
    """
    Test error in %, and the mean loss of the last 100 steps. The loop is ours: YANN's own begins an
    epoch again at a tenth of the rate if the loss becomes nan, which would hide what is measured.
    """
    net._cache_data(batch=0, type="train", verbose=0)  # the run before left the test's images
    net.learning_rate.set_value(numpy.asarray(rate, net.learning_rate.dtype))
    losses = []
    for epoch in range(epochs):
        for batch in range(net.mini_batches_per_batch[0]):
            losses.append(float(net.mini_batch_train(batch, epoch)))
    net._cache_data(batch=0, type="test", verbose=0)
    batches = net.mini_batches_per_batch[2]
    wrong = sum(float(net.mini_batch_test(batch)) for batch in range(batches))
    return 100 * wrong / (batches * BATCH), numpy.mean(losses[-100:])


def processor():
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    return platform.processor()


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--yann", required=True, help="checkout, with our files in their places")
    parser.add_argument("--data", required=True, help="holds MNIST/raw, cifar-10-batches-py")
    parser.add_argument("--out", required=True, help="table of runs, to which rows are added")
    parser.add_argument("--sets", nargs="+", default=["mnist"], choices=["mnist", "cifar10"])
    parser.add_argument("--networks", nargs="+", default=["mlp"], choices=sorted(RATES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=50000, help="of the training set")
    options = parser.parse_args()
    sys.path.insert(0, options.yann)
    commit = subprocess.check_output(["git", "-C", options.yann, "rev-parse", "--short=7", "HEAD"])

    done = set()
    if os.path.exists(options.out):
        with open(options.out) as file:
            done = {tuple(row[c] for c in COLUMNS[:7]) for row in csv.DictReader(file)}
    else:
        with open(options.out, "w") as file:
            print(",".join(COLUMNS), file=file)
    for name, network in product(options.sets, options.networks):
        folder = tempfile.mkdtemp()
        write_dataset(folder, options.data, name, options.images)
        try:
            for seed, arm in product(options.seeds, ("plain", "wn")):
                runs = [[name, network, arm, str(rate), str(seed), str(options.images),
                         str(options.epochs)] for rate in RATES[network]]
                runs = [run for run in runs if tuple(run) not in done]
                if not runs:
                    continue
                net = build(network, folder, arm, numpy.random.RandomState(seed))
                start = [(each, each.get_value()) for each in net.cooked_optimizer.updates]
                for run in runs:  # built once, as that takes Theano long
                    for each, value in start:
                        each.set_value(value)
                    error, loss = train(net, float(run[3]), options.epochs)
                    run += ["%.2f" % error, "%.4f" % loss, commit.decode().strip(), processor()]
                    with open(options.out, "a") as file:
                        print(",".join(run), file=file)
                    print(*run)
                    sys.stdout.flush()
        finally:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
