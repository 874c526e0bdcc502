"""How well does a network play? A deep Q-network on games, the paper's section 5.4.

games.py       a game by its name; what is to be installed for it
atari.py       Atari 2600 games, their pictures as in Mnih et al. (2015)
minatar.py     MinAtar's games of 10×10 pixels, for a CPU
player.py      a game being played: states of several pictures, episodes, scores
replay.py      what was seen, in memory or in a file beside the checkpoint
network.py     the network of an arm
learner.py     one update of it, from a batch of the replay
training.py    `Training`: frames, updates, evaluations
play.py        random play, evaluation, a strip of frames
"""

from dataclasses import dataclass
from typing import Any

from wnrepro.tasks.facts import Metric, Picture, Task, TaskConfig

HEADLINE = "score"
METRICS = (
    Metric("loss", "loss", ""),
    Metric(HEADLINE, "score of a game", ""),
    Metric("max_score", "best score so far", ""),
    Metric("episodes", "games", ""),
    Metric("mean_q", "mean of the largest Q", ""),
)
"""loss: mean over the epoch's updates of the Huber loss of a transition. score: mean over the games
that ended, of unclipped rewards. max_score: the largest `score` of the evaluations so far, which
the paper reports. mean_q: over the states of random play of `DQNConfig.init_every`."""

ATARI = tuple(f"atari_{game}" for game in ("breakout", "enduro", "seaquest", "space_invaders"))
"""The four games of the paper's table 2."""
MINATAR = tuple(
    f"minatar_{game}" for game in ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
)
GAMES = ATARI + MINATAR
NETWORKS = {"nature_cnn": ATARI, "minatar_cnn": MINATAR}


@dataclass
class DQNConfig(TaskConfig):
    """`model.width`: units of the dense layer. `batch_size`: transitions in an update.
    `init.batch_size`: states of random play, for the init and for `mean_q`. A step is one decision
    of the agent.
    """

    epoch_steps: int = 250_000
    """Steps of an epoch."""
    evaluation_steps: int = 125_000
    """Steps of the evaluation at an epoch's end."""
    frame_skip: int = 4
    """Frames for which an action is repeated. MinAtar: 1."""
    history: int = 4
    """Pictures in a state, the newest last; zeros before an episode's first."""
    life_loss_ends: bool = True
    """Whether the loss of a life ends an episode in training; the game goes on."""
    null_ops: int = 30
    """At most so many frames without an action, of a random number, begin a game. MinAtar: 0."""
    sticky: float = 0.0
    """Probability that the game repeats its last action instead of the new one."""
    time_limit: int | None = None
    """Steps after which a game is cut off; null for none. What follows then still counts in the
    target: the limit is none of the game's rules, and the state does not show it."""
    clip_rewards: bool = True
    """Whether training sees the sign of a reward only. The score is of the rewards themselves."""
    discount: float = 0.99
    """γ"""
    replay_size: int = 1_000_000
    """Steps that are kept."""
    learning_starts: int = 50_000
    """Steps of random play before the first update."""
    update_every: int = 4
    """Steps from one update to the next."""
    target_every: int = 2_500
    """Updates after which the target network becomes the network."""
    epsilon_start: float = 1.0
    epsilon_end: float = 0.1
    """ε, the probability of a random action, falls linearly from the one to the other"""
    epsilon_steps: int = 1_000_000
    """in so many steps, counted from `learning_starts`."""
    evaluation_epsilon: float = 0.05
    """ε of the evaluation."""
    init_every: int = 10
    """Of random play every so many steps give a state for the init and for `mean_q`."""


def _experiment(config: Any) -> str:
    """Of conf/exp."""
    return config.data.name.replace("atari_", "dqn_")


TASK = Task(
    *("dqn", __name__, METRICS, HEADLINE),
    smaller_is_better=False,
    config=DQNConfig,
    initialised=("wn", "wn_mean_only_bn"),
    pictures=(Picture("game", "a game", "What the agent makes of a game, row by row."),),
    experiment=_experiment,
)
