"""Which class does an image belong to? The paper's section 5.1, and our small networks."""

from wnrepro.tasks.facts import Metric, Task

TASK = Task(
    "classification",
    package=__name__,
    metrics=(Metric("loss", "loss", "nats"), Metric("error_percent", "error", "%")),
    headline="error_percent",
)
