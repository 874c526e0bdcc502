"""
The module beside ``wnrepro.nn``: values, gradients and data-dependent initialization to 1e-10.

    VALUES=values.npz python contrib/yann/test/test_module.py

Needs Theano alone (floatX=float64); values.py makes values.npz.
"""

import os
import sys
import unittest

import numpy
import theano
import theano.tensor as T
from theano.tensor.nnet import conv2d
from theano.tensor.nnet.abstract_conv import conv2d_grad_wrt_inputs

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.dirname(FOLDER))
import weight_norm

VALUES = {key.replace(".", "/"): value for key, value in numpy.load(os.environ["VALUES"]).items()}
SYMBOLS = ("v", "g", "b")


def turned(kind, v):
    """torch's v in Theano's order: a dot product is x w, and a filter is turned round."""
    return v.T if kind == "dense" else v[:, :, ::-1, ::-1]


def shared(kind, prefix):
    v, g, b = (VALUES["%s/0/%s" % (prefix, each)] for each in SYMBOLS)
    return [theano.shared(each.copy()) for each in (turned(kind, v), g, b)]


def pre_activation(kind, x, w, b):
    if kind == "dense":
        return T.dot(x, w) + b
    if kind == "conv":
        return conv2d(x, w) + b.dimshuffle("x", 0, "x", "x")
    out = VALUES["deconv/y"].shape
    return conv2d_grad_wrt_inputs(x, w, out) + b.dimshuffle("x", 0, "x", "x")


AXES = {"dense": 1, "conv": 0, "deconv": 1}


class TestModule(unittest.TestCase):

    def close(self, ours, theirs):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)

    def test_values_and_gradients(self):
        for kind, axis in AXES.items():
            v, g, b = shared(kind, kind)
            x, direction = (T.constant(VALUES[kind + each]) for each in ("/x", "/direction"))
            w = weight_norm.weight(v, g, axis)
            y = pre_activation(kind, x, w, b)
            found = theano.function([], [w, y] + T.grad((direction * y).sum(), [v, g, b]))()
            self.close(found[0], turned(kind, VALUES[kind + "/w"]))
            self.close(found[1], VALUES[kind + "/y"])
            self.close(found[2], turned(kind, VALUES[kind + "/0/gradient_v"]))
            self.close(found[3], VALUES[kind + "/0/gradient_g"])
            self.close(found[4], VALUES[kind + "/0/gradient_b"])

    def test_initialization(self):
        for kind, axis in AXES.items():
            v, g, b = shared(kind, kind)
            x = T.constant(VALUES[kind + "/x"])
            y = pre_activation(kind, x, weight_norm.weight(v, g, axis), b)
            weight_norm.initialize([(kind, y, g, b)])
            for each, symbol in zip((g, b), ("g", "b")):
                self.close(each.get_value(), VALUES["%s/initialized/0/%s" % (kind, symbol)])
            axes = (0,) + tuple(range(2, y.ndim))
            self.close(y.eval().mean(axis=axes), 0)
            self.close(y.eval().var(axis=axes), 1)

    def test_a_unit_without_variance_is_named_and_left(self):
        v, g, b = weight_norm.parameters(numpy.random.RandomState(0), (7, 5), 1)
        x = VALUES["dense/x"].copy()
        x[:] = x[0]
        y = T.dot(T.constant(x), weight_norm.weight(v, g, 1)) + b
        with self.assertRaises(ValueError) as caught:
            weight_norm.initialize([("hidden", T.set_subtensor(y[:, 3], 2.0), g, b)])
        self.assertIn("layer hidden", str(caught.exception))
        self.assertIn("3", str(caught.exception))
        numpy.testing.assert_array_equal(g.get_value(), numpy.ones(5))

    def test_what_is_drawn(self):
        v, g, b = weight_norm.parameters(numpy.random.RandomState(0), (50, 40, 3, 3), 0)
        self.assertAlmostEqual(v.get_value().std(), 0.05, places=3)
        self.assertEqual(g.get_value().tolist(), [1.0] * 50)
        self.assertEqual(b.get_value().tolist(), [0.0] * 50)


if __name__ == "__main__":
    unittest.main()
