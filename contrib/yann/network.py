"""
A network whose layers take ``weight_norm = True``.

In YANN this file is ``yann/special/weight_norm.py``.

Source: Tim Salimans and Diederik P. Kingma. "Weight Normalization: A Simple Reparameterization to
Accelerate Training of Deep Neural Networks." NIPS 2016.
"""

import numpy
import theano.tensor as T
from yann.core import weight_norm
from yann.layers.conv_pool import conv_pool_layer_2d, deconv_layer_2d
from yann.modules.optimizer import optimizer
from yann.network import network


class weight_norm_network (network):
    """
    The network class, with one more argument of ``add_layer`` for the layers ``dot_product``,
    ``conv_pool``, ``deconv`` and ``classifier`` under all their names:

    Args:
        weight_norm: If ``True``, the layer's w is g v/||v||, and v, g and b are what is learnt and
                     saved: ``params`` and ``active_params`` are [v, g, b], and so are
                     ``input_params`` if they are supplied. Default is ``False``. A layer has
                     either this or ``batch_norm``.

    ``cook`` initializes these layers from the first mini batch, each from the outputs of those
    before it, so that what goes into their activations has mean 0 and variance 1 (after the
    pooling, as the bias and the activation come after it). It leaves layers alone that were given
    ``input_params``. The pass is that of training, with dropout.

    The regularizers ``L1`` and ``L2`` are those of w. The optimizer's bound on the norms of the
    columns leaves v alone, as the length of v says nothing about w, and g, which is learnt.

    All else is as in :mod:`yann.network`.
    """

    def __init__ (self, verbose = 2, **kwargs):
        super(weight_norm_network, self).__init__(verbose = verbose, **kwargs)
        self.not_initialized = []

    def _add_dot_product_layer(self, id, options, verbose = 2):
        add = super(weight_norm_network, self)._add_dot_product_layer
        self._normalized(add, id, options, verbose, default = 100)

    def _add_classifier_layer(self, id, options, verbose = 2):
        add = super(weight_norm_network, self)._add_classifier_layer
        self._normalized(add, id, options, verbose, units = "num_classes")

    def _add_conv_layer(self, id, options, verbose = 2):
        add = super(weight_norm_network, self)._add_conv_layer
        self._normalized(add, id, options, verbose, default = 20, filters = conv_pool_layer_2d)

    def _add_deconv_layer(self, id, options, verbose = 2):
        add = super(weight_norm_network, self)._add_deconv_layer
        self._normalized(add, id, options, verbose, default = 20, filters = deconv_layer_2d)

    def _normalized(self, add, id, options, verbose, units = "num_neurons", default = None,
                    filters = None):
        """
        Add a layer whose w is an expression in v and g: yann's layers take one where they take
        parameters.

        Args:
            add: how the network adds such a layer
            units, default: the option with the number of units, and what it is if it is not given
            filters: the class of a layer of filters, ``None`` for one that multiplies a matrix
        """
        if options.get("weight_norm", False) is not True:
            add(id = id, options = options, verbose = verbose)
            return
        if options.get("batch_norm", False) is True:
            raise Exception ("Layer " + id + " has both weight_norm and batch_norm. Choose one.")

        origin = options.setdefault("origin", self.last_layer_created)
        num_units = options.setdefault(units, default)
        input_shape = self.layers[origin].output_shape
        axis = 0 if filters is conv_pool_layer_2d else 1
        if filters is None:
            shape = (int(numpy.prod(input_shape[1:])), num_units)
        else:
            beside = input_shape[1] if axis == 0 else options["output_shape"][2]
            shape = (num_units, beside) + tuple(options.setdefault("filter_size", (3,3)))

        supplied = options.get("input_params")
        v, g, b = supplied or weight_norm.parameters(self.rng, shape, axis)
        v.tag.weight_norm = True # for the optimizer
        w = weight_norm.weight(v, g, axis)
        options["input_params"] = [w, b]
        add(id = id, options = options, verbose = verbose)

        layer = self.dropout_layers[id]
        layer.params = [v, g, b]
        layer.active_params = [v, g, b]
        if supplied:
            return
        input = self.dropout_layers[layer.origin[0]].output # flattened, if that was needed
        if filters is None:
            pre_activation = T.dot(input, w) + b
        else:
            pre_activation = self._filtered(filters, input, id, options, [w, b]).output
        self.not_initialized.append((id, pre_activation, g, b))

    def _filtered(self, filters, input, id, options, params):
        """
        The layer ``id`` once more, without its activation.
        """
        layer = self.dropout_layers[id]
        its_own = {"output_shape" : options["output_shape"]} if filters is deconv_layer_2d else {
                    "pooltype"    : options.get("pool_type", "max")}
        return filters (
                    input = input,
                    id = id,
                    nkerns = layer.nkerns,
                    input_shape = layer.input_shape,
                    filter_shape = layer.filter_shape,
                    poolsize = layer.poolsize,
                    stride = layer.stride,
                    border_mode = options.get("border_mode", "valid"),
                    activation = None,
                    input_params = params,
                    verbose = 0,
                    **its_own
                    )

    def _add_optimizer(self, optimizer_params, verbose = 2):
        super(weight_norm_network, self)._add_optimizer(optimizer_params, verbose = verbose)
        self.optimizer[self.last_optimizer_created] = weight_norm_optimizer(
                                    optimizer_init_args = optimizer_params, verbose = verbose)

    def cook(self, verbose = 2, **kwargs):
        """
        As in :mod:`yann.network`, after the data-dependent initialization.
        """
        if self.not_initialized:
            if verbose >= 2:
                print(".. Initializing the weight normalized layers")
            stream = self.datastream[kwargs.get("datastream") or self.last_datastream_created]
            weight_norm.initialize(self.not_initialized,
                                   givens = {stream.x: stream.data_x[:stream.mini_batch_size]})
            self.not_initialized = []
        super(weight_norm_network, self).cook(verbose = verbose, **kwargs)


class weight_norm_optimizer (optimizer):
    """
    The optimizer, whose bound on the norms of the columns leaves v alone.
    """

    def _constrain (self, verbose = 1):
        params = self.params
        self.params = [p for p in params if not getattr(p.tag, "weight_norm", False)]
        super(weight_norm_optimizer, self)._constrain(verbose = verbose)
        self.params = params
