"""
The network beside ``wnrepro.nn``, and what YANN's users do with it.

    YANN=yann VALUES=values.npz python contrib/yann/test/test_network.py

Needs Python 2.7 and YANN's requirements (floatX=float64), and a checkout with our files in place.
"""

from __future__ import print_function

import os
import pickle
import shutil
import sys
import tempfile
import unittest

import numpy
import theano

sys.path.insert(0, os.environ["YANN"])
sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import compare
from yann.network import network
from yann.special.weight_norm import weight_norm_network
from yann.utils.pickle import shared_params

VALUES = {key.replace(".", "/"): value for key, value in numpy.load(os.environ["VALUES"]).items()}
CONV = {"num_neurons": 3, "filter_size": (3, 3), "pool_size": (1, 1)}
LAYERS = [("conv_pool", CONV), ("deconv", {"num_neurons": 3, "output_shape": (6, 6, 2)}),
          ("dot_product", {"num_neurons": 5}), ("classifier", {"num_classes": 4})]


def turned(value):
    """torch's v in Theano's order: a dot product is x w, and a filter is turned round."""
    return value[:, :, ::-1, ::-1] if value.ndim == 4 else value.T


class TestNetwork(unittest.TestCase):

    def setUp(self):
        """The images of the values, as one of YANN's data sets with one mini batch."""
        self.folder = tempfile.mkdtemp()
        x = VALUES["network/x"].transpose(0, 2, 3, 1)
        for part in ("train", "valid", "test"):
            os.mkdir(os.path.join(self.folder, part))
            with open(os.path.join(self.folder, part, "batch_0.pkl"), "wb") as file:
                labels = VALUES["network/labels"].astype("float64")
                pickle.dump((x.reshape(len(x), -1), labels), file)
        with open(os.path.join(self.folder, "data_params.pkl"), "wb") as file:
            pickle.dump({"location": self.folder, "mini_batch_size": 10, "cache_batches": (1, 1, 1),
                         "batches2train": 1, "batches2test": 1, "batches2validate": 1, "height": 6,
                         "width": 6, "channels": 2, "cache": False}, file)

    def tearDown(self):
        shutil.rmtree(self.folder)

    def close(self, ours, theirs):
        numpy.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)

    def net(self, layers=LAYERS, kind=weight_norm_network, weight_norm=True, input_params=None):
        net = kind(verbose=0)
        net.rng = numpy.random.RandomState(0)
        net.add_module(type="datastream", verbose=0,
                       params={"dataset": self.folder, "n_classes": 4, "id": "data"})
        net.add_module(type="optimizer", params={"optimizer_type": "sgd", "id": "sgd"}, verbose=0)
        for module in ("visualizer", "resultor"):
            params = {"root": os.path.join(self.folder, module), "id": "main"}
            net.add_module(type=module, params=params, verbose=0)
        net.add_layer(type="input", id="input", datastream_origin="data", verbose=0)
        for k, (kind, options) in enumerate(layers):
            options = dict(options)
            if weight_norm:
                options["weight_norm"] = True
            if input_params:
                options["input_params"] = input_params[str(k)]
            net.add_layer(type=kind, id=str(k), verbose=0, **options)
        net.add_layer(type="objective", id="objective", verbose=0)
        return net

    def with_values(self):
        """A network with wnrepro's v, g and b, before the initialization."""
        net = self.net()
        for k in range(4):
            for param, symbol in zip(net.dropout_layers[str(k)].params, "vgb"):
                value = turned(VALUES["network/%d/%s" % (k, symbol)])
                self.assertEqual(param.get_value().shape, value.shape)
                param.set_value(value)
        return net

    def probabilities(self, net):
        net._cache_data(batch=0, type="test", verbose=0)
        return numpy.exp(net.mini_batch_posterior(0))  # it gives their logarithms

    def test_initialization_outputs_and_gradients_are_those_of_wnrepro(self):
        net = self.with_values()
        net.cook(verbose=0)
        net.learning_rate.set_value(1.0)
        for k in range(4):
            _, g, b = net.dropout_layers[str(k)].params
            self.close(g.get_value(), VALUES["network/initialized/%d/g" % k])
            self.close(b.get_value(), VALUES["network/initialized/%d/b" % k])
        self.close(self.probabilities(net), VALUES["network/initialized/probabilities"])

        params = net.active_params
        self.assertEqual(len(params), 12)
        before = [each.get_value() for each in params]
        self.close(net.mini_batch_train(0, 0), VALUES["network/initialized/loss"])
        for k in range(4):
            for j, symbol in enumerate("vgb"):
                step = before[3 * k + j] - params[3 * k + j].get_value()
                gradient = VALUES["network/initialized/%d/gradient_%s" % (k, symbol)]
                self.close(step, turned(gradient))

    def test_after_pooling_the_activation_gets_mean_0_and_variance_1(self):
        net = self.net([("conv_pool", dict(CONV, pool_size=(2, 2)))] + LAYERS[2:])
        (_, t, _, _), stream = net.not_initialized[0], net.datastream["data"]
        net.cook(verbose=0)
        out = theano.function([], t, givens={stream.x: stream.data_x})()
        self.assertEqual(out.shape, (10, 3, 2, 2))
        self.close(out.mean(axis=(0, 2, 3)), 0)
        self.close(out.var(axis=(0, 2, 3)), 1)

    def test_it_learns_as_wnrepro_does_and_a_second_cook_keeps_what_was_learnt(self):
        net = self.with_values()
        net.cook(verbose=0)
        net.learning_rate.set_value(0.1)
        losses = [float(net.mini_batch_train(0, 0)) for _ in range(30)]
        numpy.testing.assert_allclose(losses, VALUES["network/losses"], rtol=1e-8)
        self.assertLess(losses[-1], losses[0])
        learnt = self.probabilities(net)
        net.cook(verbose=0)
        self.close(self.probabilities(net), learnt)

    def test_saved_parameters_give_the_same_network(self):
        net = self.net()
        net.cook(verbose=0)
        saved = net.get_params(verbose=0)
        self.assertEqual([len(saved[str(k)]) for k in range(4)], [3] * 4)
        again = self.net(input_params=shared_params(saved))
        again.cook(verbose=0)
        self.close(self.probabilities(again), self.probabilities(net))

    def test_the_bound_on_columns_leaves_v_and_g_alone(self):
        net = self.net()
        v, g, _ = net.dropout_layers["2"].params
        net.cook(verbose=0)
        v.set_value(100 * v.get_value())
        g.set_value(100 * g.get_value())
        net.learning_rate.set_value(0.0)
        before = v.get_value(), g.get_value()
        net.mini_batch_train(0, 0)
        self.close(v.get_value(), before[0])
        self.close(g.get_value(), before[1])

    def test_without_weight_norm_it_is_yanns_network(self):
        found = []
        for kind in (network, weight_norm_network):
            net = self.net(kind=kind, weight_norm=False)
            net.cook(verbose=0)
            w = net.dropout_layers["2"].w
            w.set_value(100 * w.get_value())  # beyond YANN's bound on the columns
            net.learning_rate.set_value(0.1)
            for _ in range(3):
                net.mini_batch_train(0, 0)
            found.append([each.get_value() for each in net.active_params])
        self.assertEqual(len(found[0]), 8)
        for ours, theirs in zip(*found):
            numpy.testing.assert_array_equal(ours, theirs)

    def test_a_second_run_of_a_network_trains_on_the_training_images(self):
        """compare.py builds a network once for several rates; a test leaves the test's images."""
        with open(os.path.join(self.folder, "test", "batch_0.pkl"), "wb") as file:
            x = 1 - VALUES["network/x"].transpose(0, 2, 3, 1)
            pickle.dump((x.reshape(len(x), -1), VALUES["network/labels"].astype("float64")), file)
        net = self.net()
        net.cook(verbose=0)
        start = [(each, each.get_value()) for each in net.cooked_optimizer.updates]
        losses = []
        for _ in range(2):
            for each, value in start:
                each.set_value(value)
            losses.append(compare.train(net, 0.1, 3)[1])
        self.assertEqual(losses[0], losses[1])

    def test_not_with_batch_norm(self):
        with self.assertRaises(Exception) as caught:
            self.net([("dot_product", {"num_neurons": 5, "batch_norm": True})])
        self.assertIn("Choose one", str(caught.exception))


if __name__ == "__main__":
    unittest.main()
