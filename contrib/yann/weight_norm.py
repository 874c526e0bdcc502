"""
Weight normalization in Theano: w = g v/||v||, its parameters and its data-dependent initialization.

Needs Theano and NumPy alone. In YANN this file is ``yann/core/weight_norm.py``.

Source: Tim Salimans and Diederik P. Kingma. "Weight Normalization: A Simple Reparameterization to
Accelerate Training of Deep Neural Networks." NIPS 2016.
"""

import numpy
import theano
import theano.tensor as T


def weight(v, g, axis):
    """
    w = g v/||v|| (equation 2). Theano derives the gradients by v and g from it (equation 3).

    Args:
        v: directions, a tensor. A direction of length 0 has no w: it becomes nan.
        g: lengths of w, a vector with one number for each unit.
        axis: the axis of ``v`` that counts the units; ||v|| is taken over all the others. It is 1
              for a dot product (inputs, units) and for a deconvolution (channels, units, height,
              width), and 0 for a convolution (units, channels, height, width).

    Returns:
        theano variable: w, of the shape of ``v``
    """
    others = [each for each in range(v.ndim) if each != axis]
    norm = T.sqrt(T.sqr(v).sum(axis=others, keepdims=True))
    beside = ["x"] * v.ndim
    beside[axis] = 0
    return v * (g.dimshuffle(*beside) / norm)


def parameters(rng, shape, axis):
    """
    Directions from N(0, 0.05^2), as in the paper, with g = 1 and b = 0, which ``initialize`` sets.

    Args:
        rng: a ``numpy.random.RandomState``
        shape: of v
        axis: as in ``weight``

    Returns:
        list of theano shared variables: v, g, b
    """
    units = shape[axis]
    values = (
        ("v", 0.05 * rng.standard_normal(size=shape)),
        ("g", numpy.ones(units)),
        ("b", numpy.zeros(units)),
    )
    return [theano.shared(x.astype(theano.config.floatX), name=name) for name, x in values]


def initialize(layers, givens=None):
    """
    The data-dependent initialization (equations 5 and 6): on one batch every unit's pre-activation
    gets mean 0 and variance 1, by g <- g/sigma and b <- (b - mu)/sigma, with the biased sigma.

    One pass through the network: the statistics of a layer are taken after all the layers before
    it in the list have been set.

    Args:
        layers: list of (id, pre-activation, g, b) in the order of the network. The pre-activation
                is a symbolic (batch, units) or (batch, units, height, width), made of the shared
                g and b of its own layer and of those below.
        givens: of ``theano.function``; the batch in place of the network's input

    Raises:
        ValueError: a unit's variance is 0 or not finite on this batch; the message has its layer.
                    The layers before that one have been set already.
    """
    for id, pre_activation, g, b in layers:
        axes = [0] + list(range(2, pre_activation.ndim))
        moments = [pre_activation.mean(axis=axes), pre_activation.std(axis=axes)]
        mean, std = theano.function([], moments, givens=givens)()
        # a constant unit's variance is 0 only up to the rounding of its mean
        usable = numpy.isfinite(std) & (std > 8 * numpy.finfo(std.dtype).eps * abs(mean))
        if not usable.all():
            units = ", ".join(str(unit) for unit in numpy.flatnonzero(~usable))
            raise ValueError("layer %s cannot be initialized on this batch, where units have no "
                             "variance or none that is finite: %s" % (id, units))
        g.set_value((g.get_value() / std).astype(g.dtype))
        b.set_value(((b.get_value() - mean) / std).astype(b.dtype))
