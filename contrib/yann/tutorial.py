"""
Notes:
    The multi-layer network of the :ref:`mlp` tutorial, weight normalized.
"""

from __future__ import print_function

import sys

from yann.special.weight_norm import weight_norm_network


def weight_norm_mlp (dataset, weight_norm = True, verbose = 1):
    """
    This method is a tutorial on weight normalization. The built network is
    mnist->800->800->10, and every layer that has weights is weight normalized.

    Args:
        dataset: an already created dataset.
        weight_norm: ``False`` for the same network without.
        verbose: as always
    """
    net = weight_norm_network(verbose = verbose)

    net.add_module (type = "optimizer",
                    params = {"momentum_type"   : "polyak",
                              "momentum_params" : (0.65, 0.9, 30),
                              "optimizer_type"  : "adagrad",
                              "id"              : "main"},
                    verbose = verbose)

    net.add_module (type = "datastream",
                    params = {"dataset" : dataset, "svm" : False, "n_classes" : 10, "id" : "data"},
                    verbose = verbose)

    net.add_layer (type = "input", id = "input", datastream_origin = "data", verbose = verbose)

    for id in ("dot_product_1", "dot_product_2"):
        net.add_layer (type = "dot_product",
                       id = id,
                       num_neurons = 800,
                       activation = "relu",
                       weight_norm = weight_norm,
                       verbose = verbose)

    net.add_layer (type = "classifier",
                   id = "softmax",
                   num_classes = 10,
                   activation = "softmax",
                   weight_norm = weight_norm,
                   verbose = verbose)

    net.add_layer (type = "objective", id = "obj", origin = "softmax", verbose = verbose)

    net.cook(verbose = verbose)   # initializes from the first mini batch
    net.train(epochs = (20, 20),
              learning_rates = (0.05, 0.01, 0.001),
              training_accuracy = True,
              verbose = verbose)
    net.test(verbose = verbose)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit("provide dataset, or create_dataset")
    dataset = sys.argv[1]
    if dataset == "create_dataset":
        from yann.special.datasets import cook_mnist
        dataset = cook_mnist(verbose = 1).dataset_location()
    weight_norm_mlp(dataset, verbose = 2)
