"""Trains the network of the authors' released code on CIFAR-10, on a CPU (README.md says how).

    python train.py --code weightnorm/lasagne --data data --arm wn_mean_only_bn \\
        --seeds 11 12 --epochs 2 --out runs.csv

Layers, whitening, loss and Adam are the authors' `nn.py`, unchanged; noise, dropout, pooling and
convolution are Lasagne's. This file only wires them as their training script does. A seed means
what it means there. Needs Python 3.8 and Theano 1.0.5.
"""

import argparse
import csv
import os
import pickle
import sys
import time
from pathlib import Path

import numpy as np

ARMS = {  # our name: the function of their nn.py
    "plain_frozen_scale": "no_norm",
    "wn": "weight_norm",
    "bn": "batch_norm",
    "wn_mean_only_bn": "mean_only_bn",
}
BATCH, INIT_BATCH = 100, 500
TRACE_EVERY, TRACE_IMAGES = 20, 1000
"""Steps from one test error within an epoch to the next, and how many test images it is of."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--code", type=Path, required=True, help="folder of the authors' nn.py")
    add("--data", type=Path, required=True, help="folder that holds cifar-10-batches-py")
    add("--arm", choices=ARMS, required=True)
    add("--seeds", type=int, nargs="+", default=[1])
    add("--width", type=int, default=96)
    add("--rate", type=float, default=0.003)
    add("--schedule", type=int, default=10, help="epochs that the schedule is made for")
    add("--epochs", type=int, help="stop after so many; default: the schedule's")
    add("--steps", type=int, help="stop after so many steps of the first epoch: no row")
    add("--noise", type=float, default=0.15, help="its standard deviation; 0: none")
    add("--dropout", type=float, default=0.5, help="share that is dropped; 0: none")
    add("--dtype", choices=("float32", "float64"), default="float32")
    add("--whitening", choices=("float32", "float64"), default="float32", help="of its matrix")
    add("--white", type=Path, help="folder for whitened images: filled once, then read")
    add("--out", type=Path, help="CSV that gets a row per epoch")
    add("--trace", type=Path, help="CSV of test errors within the last epoch")
    add("--record", type=Path, help="folder for start values, batches, draws and losses")
    add("--only-draws", action="store_true", help="record without training: no losses")
    add("--given", type=Path, help="folder with such a record, used instead of own draws")
    return parser.parse_args()


class Stream:
    """Stands before a layer's random stream: notes what is drawn, or has it given as an input.

    Lasagne calls `normal` for noise and `binomial` for a mask, once for each graph it builds.
    """

    def __init__(self, stream, given=None):
        self.stream, self.given, self.drawn = stream, given, []

    def normal(self, *args, **kwargs):
        return self._note(self.stream.normal, *args, **kwargs)

    def binomial(self, *args, **kwargs):
        return self._note(self.stream.binomial, *args, **kwargs)

    def _note(self, draw, *args, **kwargs):
        self.drawn.append(draw(*args, **kwargs) if self.given is None else self.given)
        return self.drawn[-1]


class Network:
    """The network of one arm and its compiled functions `init`, `train` and `test`.

    `init(x, …)` and `train(x, y, rate, beta1, …)` take the given draws in the end, and return the
    drawn ones behind error and loss, where they are recorded.
    """

    def __init__(self, nn, args):
        import lasagne.layers as ll
        import theano as th
        import theano.tensor as T

        normalise = getattr(nn, ARMS[args.arm])
        width, top = args.width, ll.InputLayer(shape=(None, 3, 32, 32))
        self.layers = [top]
        self.linear, streams = [], []

        def add(layer):
            self.layers.append(layer)
            return layer

        def unit(layer):
            self.linear.append(layer)
            return add(normalise(layer))

        def random(layer):
            given = T.tensor4() if args.given else None
            layer._srng = Stream(layer._srng, given)
            if args.noise if isinstance(layer, ll.GaussianNoiseLayer) else args.dropout:
                streams.append(layer._srng)
            return add(layer)

        def conv(below, maps, pad):
            options = {"nonlinearity": nn.lrelu, "flip_filters": False}
            return unit(ll.Conv2DLayer(below, maps, (3, 3), pad=pad, **options))

        top = random(ll.GaussianNoiseLayer(top, sigma=args.noise))
        for maps in (width, 2 * width):
            for _ in range(3):
                top = conv(top, maps, 1)
            top = add(ll.MaxPool2DLayer(top, 2))
            top = random(ll.DropoutLayer(top, p=args.dropout))
        top = conv(top, 2 * width, 0)
        for _ in range(2):
            top = unit(ll.NINLayer(top, num_units=2 * width, nonlinearity=nn.lrelu))
        top = unit(ll.DenseLayer(add(nn.GlobalAvgLayer(top)), num_units=10, nonlinearity=None))

        def updates(name):
            return [each for layer in self.layers for each in getattr(layer, name, [])]

        x, y, rate, beta1 = T.tensor4(), T.ivector(), T.scalar(), T.scalar()
        ll.get_output(top, x, init=True)
        init_updates = updates("init_updates")
        scores = ll.get_output(top, x)
        bn_updates = updates("bn_updates")
        cost = nn.softmax_loss(y, scores)
        error = T.mean(T.neq(T.argmax(scores, axis=1), y))
        trained = ll.get_all_params(self.layers, trainable=True)
        steps = nn.adam_updates(trained, cost, lr=rate, mom1=beta1) + bn_updates
        test_scores = ll.get_output(top, x, deterministic=True)
        test_error = T.mean(T.neq(T.argmax(test_scores, axis=1), y))

        given = [each.given for each in streams if args.given]
        drawn = [[each.drawn[k] for each in streams if args.record] for k in (0, 1)]
        options = {"on_unused_input": "ignore"}
        if args.only_draws:
            init_updates = steps = []
            cost = error = T.constant(np.nan)
        self.init = th.function([x, *given], drawn[0], updates=init_updates, **options)
        inputs, outputs = [x, y, rate, beta1, *given], [error, cost, *drawn[1]]
        self.train = th.function(inputs, outputs, updates=steps, **options)
        self.test = th.function([x, y], test_error)

    def start_values(self):
        """v of each layer as shared variables."""
        return [getattr(layer, "W_param", layer.W) for layer in self.linear]


def load(root, dtype):
    """Images in (−1, 1) and labels of the training set and of the test set, in the files' order."""

    def read(name):
        with open(root / "cifar-10-batches-py" / name, "rb") as file:
            content = pickle.load(file, encoding="bytes")  # noqa: S301 – the data set's own form
        images = content[b"data"].reshape(-1, 3, 32, 32)
        return ((images - 127.5) / 128).astype(dtype), np.array(content[b"labels"], np.uint8)

    parts = [read(f"data_batch_{k}") for k in range(1, 6)]
    images, labels = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    return (images, labels), read("test_batch")


def whitened(nn, args):
    """((images, labels) of the training set, of the test set), whitened by the authors' code."""
    folder = args.white and args.white / f"{args.dtype}-{args.whitening}"
    names = ("train", "test")
    if folder and (folder / "test-labels.npy").exists():
        kinds = ("images", "labels")
        return [[np.load(folder / f"{n}-{kind}.npy") for kind in kinds] for n in names]
    parts = load(args.data, args.dtype)
    whitener = nn.ZCA(x=parts[0][0].astype(args.whitening))
    white = [(whitener.apply(images).astype(args.dtype), labels) for images, labels in parts]
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        for name, (images, labels) in zip(names, white):
            np.save(folder / (name + "-images.npy"), images)
            np.save(folder / (name + "-labels.npy"), labels)
    return white


def append(path, row):
    new = not path.exists()
    with open(path, "a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def write(folder, name, **arrays):
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / (name + ".npz"), **arrays)


def named(draws):
    """The draws of one step by name, in the order of the layers: noise or mask."""
    return {
        f"draw{k}": each.astype(bool) if np.isin(each, (0, 1)).all() else each
        for k, each in enumerate(draws)
    }


def given_draws(folder, name, dtype):
    with np.load(folder / (name + ".npz")) as file:
        draws = [file[key].astype(dtype) for key in sorted(file) if key.startswith("draw")]
        return draws, file["index"]


def train(nn, data, args, seed):
    """Yield (epoch, training error, test error, seconds) of each epoch; errors in %."""
    import lasagne

    (images, labels), (test_images, test_labels) = data
    rng = np.random.RandomState(seed)
    rng.randint(2**15)  # their script seeds a generator with it that nothing uses
    lasagne.random.set_rng(np.random.RandomState(rng.randint(2**15)))
    network = Network(nn, args)
    starts = network.start_values()
    if args.given:
        with np.load(args.given / "start.npz") as file:
            for k, v in enumerate(starts):
                v.set_value(_turned(file[f"v{k}"], v.ndim).astype(args.dtype))
    if args.record:
        turned = {f"v{k}": _turned(v.get_value(), v.ndim) for k, v in enumerate(starts)}
        write(args.record, "start", **turned)
    index, n_steps, losses = np.arange(len(images)), len(images) // BATCH, []
    n_epochs = args.epochs or args.schedule

    def test_error(n):
        slices = [slice(k, k + BATCH) for k in range(0, n, BATCH)]
        return np.mean([network.test(test_images[s], test_labels[s]) for s in slices])

    for epoch in range(n_epochs):
        begin = time.time()
        half = args.schedule / 2
        rate = np.array(args.rate * min(2 - epoch / half, 1), args.dtype)
        beta1 = np.array(0.9 if epoch < half else 0.5, args.dtype)
        index = index[rng.permutation(len(index))]
        if epoch == 0:
            first, draws = index[:INIT_BATCH], []
            if args.given:
                draws, first = given_draws(args.given, "init", args.dtype)
            drawn = network.init(images[first], *draws)
            if args.record:
                write(args.record, "init", index=first, **named(drawn))
        errors = 0.0
        for t in range(n_steps if args.steps is None else args.steps):
            chosen, draws = index[t * BATCH : (t + 1) * BATCH], []
            if args.given:
                name = f"{epoch * n_steps + t:05d}"
                draws, chosen = given_draws(args.given, name, args.dtype)
            batch = images[chosen], labels[chosen]
            error, loss, *drawn = network.train(*batch, rate, beta1, *draws)
            errors += error
            losses.append((float(loss), float(error)))
            if args.trace and epoch == n_epochs - 1 and (t + 1) % TRACE_EVERY == 0:
                row = {"code": "theirs", "whitening": args.whitening, "seed": seed, "step": t + 1}
                append(args.trace, {**row, "error": f"{100 * test_error(TRACE_IMAGES):.1f}"})
            if args.record:
                write(args.record, f"{epoch * n_steps + t:05d}", index=chosen, **named(drawn))
        if args.only_draws:
            continue
        if args.record:
            np.savetxt(args.record / "losses.csv", losses, "%.17g", ",", header="loss,error")
        test = test_error(len(test_images))
        if args.record:
            np.savetxt(args.record / "test.csv", [test], "%.17g", header="error")
        if args.steps is not None:
            return
        yield epoch + 1, 100 * errors / n_steps, 100 * test, time.time() - begin


def _turned(v, ndim):
    """Their layout of v to ours and back: dense and 1×1 weights are (in, out) with them."""
    return v.T if ndim == 2 else v


def main():
    args = arguments()
    flags = os.environ.get("THEANO_FLAGS", "")
    os.environ["THEANO_FLAGS"] = ",".join(filter(None, [flags, "floatX=" + args.dtype]))
    sys.path.insert(0, str(args.code))
    import nn  # only now: Theano reads its flags when it is imported

    data = whitened(nn, args)
    settings = ("arm", "width", "rate", "schedule", "noise", "dropout", "dtype", "whitening")
    for seed in args.seeds:
        for epoch, train_error, test_error, seconds in train(nn, data, args, seed):
            row = {"arm": args.arm, "seed": seed, "epoch": epoch}
            row.update(train_error_percent=f"{train_error:.3f}")
            row.update(test_error_percent=f"{test_error:.3f}")
            row.update({name: getattr(args, name) for name in settings[1:]})
            row.update(given=args.given or "", seconds=f"{seconds:.0f}")
            print(row, flush=True)
            if args.out:
                append(args.out, row)


if __name__ == "__main__":
    main()
