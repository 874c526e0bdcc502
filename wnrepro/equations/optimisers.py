"""The optimisers, each as one step: parameters and state in, parameters and state out.

w is the parameter, `gradient` is ∇_w L there, and the state tensors start at 0; all have one shape,
whichever it is. Nothing is changed in place. Every number may change from one step to the next,
as β1 does in the paper's protocol.

Every function raises ValueError for tensors that are not float64 or not of the shape of w, for a
decay outside [0, 1), a negative ε, and a step t below 1.
"""

from torch import Tensor

from wnrepro.equations.averages import bias_corrected_decay, running_average
from wnrepro.equations.checks import check_alike, check_decay, check_not_negative, check_step


def momentum(
    w: Tensor, gradient: Tensor, v: Tensor, *, lr: float, gamma: float
) -> tuple[Tensor, Tensor]:
    """(w, v) after V_t = γ V_{t−1} + η ∇,  W ← W − V_t, with η = `lr`.

    V is in units of w: a learning rate that changes takes effect on new gradients only.
    (`torch.optim.SGD` multiplies the whole sum by the η in force; the same while η is constant.)

    Source: course notes.
    """
    check_alike(w=w, gradient=gradient, v=v)
    check_decay(gamma=gamma)
    v = gamma * v + lr * gradient
    return w - v, v


def momentum_averaged(
    w: Tensor, gradient: Tensor, m: Tensor, *, lr: float, gamma: float
) -> tuple[Tensor, Tensor]:
    """(w, m) after M_t = γ M_{t−1} + (1 − γ) ∇,  W ← W − η′ M_t, with η′ = `lr`.

    The same steps as `momentum` with η = η′(1 − γ), as then V_t = η′ M_t, while η′ is constant.
    M is in units of the gradient: it is a moving average of it.

    Source: course notes.
    """
    check_alike(w=w, gradient=gradient, m=m)
    check_decay(gamma=gamma)
    m = running_average(m, gradient, gamma)
    return w - lr * m, m


def adadelta(
    w: Tensor, gradient: Tensor, g2: Tensor, *, lr: float, gamma: float, eps: float
) -> tuple[Tensor, Tensor]:
    """(w, g2) after G_t = γ G_{t−1} + (1 − γ) ∇²,  W ← W − η ∇/√(G_t + ε), with G = `g2`.

    The name is the notes'. What torch calls Adadelta (Zeiler 2012) also multiplies by a moving
    root mean square of its own past steps: √(ε + that)/√(G + ε)·∇, so that its first step is √ε
    times this one. What the notes define is torch's RMSprop, but with ε inside the root:
    `torch.optim.RMSprop` divides by √G + ε. Elements are independent of each other. With ε = 0 an
    element whose gradients were all 0 is 0/0, NaN.

    Source: course notes.
    """
    check_alike(w=w, gradient=gradient, g2=g2)
    check_decay(gamma=gamma)
    check_not_negative(eps=eps)
    g2 = running_average(g2, gradient**2, gamma)
    return w - lr * gradient / (g2 + eps) ** 0.5, g2


def adam(
    w: Tensor,
    gradient: Tensor,
    m: Tensor,
    s: Tensor,
    t: int,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(w, m, s) after step number t, counted from 1, of Adam with ε inside the root.

        m ← β1 m + (1 − β1) ∇            m̂ = m/(1 − β1ᵗ)
        s ← β2 s + (1 − β2) ∇²           ŝ = s/(1 − β2ᵗ)
        w ← w − lr m̂/√(ŝ + ε)

    β1 may change between steps, in the paper's protocol from 0.9 to 0.5. The correction uses the
    β1 in force at the step: m̂ is then no longer exactly an average, its weights do not sum to 1.
    (`torch.optim.Adam` divides by √ŝ + ε.)

    Source: course notes; the authors' code, `lasagne/nn.py`, adam_updates.
    """
    check_alike(w=w, gradient=gradient, m=m, s=s)
    check_decay(beta1=beta1, beta2=beta2)
    check_not_negative(eps=eps)
    check_step(t)
    m = running_average(m, gradient, beta1)
    s = running_average(s, gradient**2, beta2)
    m_hat = m / (1 - beta1**t)
    s_hat = s / (1 - beta2**t)
    return w - lr * m_hat / (s_hat + eps) ** 0.5, m, s


def adam_averaged(
    w: Tensor,
    gradient: Tensor,
    m_hat: Tensor,
    s_hat: Tensor,
    t: int,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(w, m̂, ŝ) after step number t of Adam, with the corrected averages themselves as state.

        m̂_t = γ_t m̂_{t−1} + (1 − γ_t) ∇,   γ_t = (β1 − β1ᵗ)/(1 − β1ᵗ);   ŝ likewise with β2, ∇²
        w ← w − lr m̂_t/√(ŝ_t + ε)

    The same steps as `adam` while β1 and β2 are constant. γ_1 = 0, so nothing depends on where m̂
    starts. Where β1 changes, this m̂ remains an average and that of `adam` does not.

    Source: course notes.
    """
    check_alike(w=w, gradient=gradient, m_hat=m_hat, s_hat=s_hat)
    check_not_negative(eps=eps)
    m_hat = running_average(m_hat, gradient, bias_corrected_decay(t, beta1))
    s_hat = running_average(s_hat, gradient**2, bias_corrected_decay(t, beta2))
    return w - lr * m_hat / (s_hat + eps) ** 0.5, m_hat, s_hat


def adamax(
    w: Tensor,
    gradient: Tensor,
    m: Tensor,
    u: Tensor,
    *,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """(w, m, u) after one step of the authors' Adamax, which has no bias correction.

        m ← β1 m + (1 − β1) ∇
        u ← max(β2 u, |∇|), elementwise
        w ← w − lr m/(u + ε), theirs with ε = 1e-6

    Without the correction the first steps are short, the first one lr(1 − β1) where torch's is lr.
    (`torch.optim.Adamax` corrects m and takes max(β2 u, |∇| + ε), without ε below the bar.)

    Source: the authors' code; Kingma & Ba 2015, section 7.1, for the rule with correction.
    """
    check_alike(w=w, gradient=gradient, m=m, u=u)
    check_decay(beta1=beta1, beta2=beta2)
    check_not_negative(eps=eps)
    m = running_average(m, gradient, beta1)
    u = (beta2 * u).maximum(gradient.abs())
    return w - lr * m / (u + eps), m, u
