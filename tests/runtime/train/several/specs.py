"""Trainings of all kinds, small: what several processes must do as one does."""

DATA = """
model Net(x: float[N, 3], width = 8) -> (y: float[N, 2]):
    return x -> linear(width) -> batch_norm -> relu -> dropout(0.2) -> linear(2)

model Plain(x: float[N, 3]) -> (y: float[N, 2]):
    return x -> linear(8) -> tanh -> linear(2)

model Judge(y: float[N, 2]) -> (logit: float[N]):
    return y -> linear(8) -> leaky_relu(0.2) -> dropout(0.3) -> linear(1) -> squeeze(1)

model Conv(x: float[N, 36]) -> (y: float[N, 2]):
    h = x -> reshape(N, 1, 6, 6) -> conv(4, kernel=3) -> batch_norm -> relu
    h = h -> dropout(0.1) -> conv(8, kernel=3, stride=2) -> batch_norm -> relu
    return h -> flatten -> linear(2)

block Layer(x: float[N, T, 16], heads: int) -> float[N, T, 16]:
    q, k, v = layer_norm(x) -> linear(48) -> split(3, axis=2)
    q, k, v = [part -> reshape(N, T, heads, 16 // heads) -> transpose(1, 2) for part in [q, k, v]]
    h = attention(q, k, v, causal=true, dropout=0.1) -> transpose(1, 2) -> reshape(N, T, 16)
    x = x + dropout(linear(h, 16), 0.1)
    return x + (layer_norm(x) -> linear(32) -> gelu -> linear(16) -> dropout(0.1))

model GPT(tokens: int[N, T] < 11) -> (logits: float[N, T, 11]):
    layers = [Layer(heads=2) for i in range(2)]
    h = embedding(tokens, 11, 16) -> dropout(0.1)
    for layer in layers:
        h = h -> layer
    return h -> layer_norm -> linear(11)

model Pixels(x: float[N, 1, 6, 6]) -> (y: float[N, 2]):
    return x -> conv(4, kernel=3) -> relu -> flatten -> linear(2)

model Hebb(x: float[N, 3]) -> (y: float[N, 2]):
    weight W: float[3, 2] = 0
    return x @ W

data Points:
    source = generate(150)
    x: float[3] = normal(3)
    noise: float[2] = 0.1 * normal(2)
    y: float[2] = stack(sum(x), prod(x)) + noise
    split = (train=0.7, valid=0.3)

data Pictures:
    source = generate(120)
    x: float[36] = normal(36)
    y: float[2] = stack(mean(x), std(x))
    split = (train=0.7, valid=0.3)

data Images:
    source = generate(120)
    x: float[1, 6, 6] = reshape(normal(36), 1, 6, 6)
    y: float[2] = stack(mean(x), std(x))
    augment:
        x = x -> random_crop(6, pad=1) -> random_flip -> random_erase(p=0.5)
    split = (train=0.7, valid=0.3)

data Words:
    source = generate(100)
    start: int[9] < 11 = randint(9, below=11)
    split = (train=0.7, valid=0.3)
"""

FIT = """
train Fit on {data}:
    {instances}
    settings:
        batch = {batch}
        steps = 50
        seed = 3
        {settings}
    step:
        {step}
"""


def fit(step: str, *, net: str = "Net", data: str = "Points", settings: str = "", batch: str = "15") -> str:
    """A spec that trains one net, or `net` where that says more. Of 105 examples batches of 15 come out even among
    themselves, and not among two processes."""
    instances = net if "=" in net else f"net = {net}()"
    return DATA + FIT.format(data=data, instances=instances, batch=batch, settings=settings, step=step)


MSE = "guess = net(x)\n        minimize mse(guess, y)\n        report error = mean(abs(guess - y))"
ADAM = "optimizer = adam(lr=1e-2)"

SPECS = {
    "mlp": fit(MSE, net="Plain"),
    "dropout and batch norm": fit(MSE, settings=f"{ADAM}\n        average = ema(0.95)"),
    "convolutions": fit(MSE, net="Conv", data="Pictures", settings=ADAM),
    "gpt": fit(
        "logits = net(start[:, :8])\n        minimize cross_entropy(logits, start[:, 1:])\n"
        "        report bits = cross_entropy(logits, start[:, 1:])",
        net="GPT",
        data="Words",
        settings=f"{ADAM}\n        accumulate = 3\n        clip_norm = 0.5",
    ),
    "gan": fit(
        """fake = G(normal_like(x))
        minimize bce(D(y), ones(N)) + bce(D(stop(fake)), zeros(N)) over D
        minimize bce(D(fake), ones(N)) over G using sgd(lr=0.05, momentum=0.5)""",
        net="G = Net()\n    D = Judge()",
        settings=f"{ADAM}\n        average = ema(0.9)",
    ),
    "accumulation, clipping and an average": fit(
        MSE, settings="accumulate = 4\n        clip_norm = 0.1\n        clip_value = 0.05\n        average = swa(0.3)"
    ),
    "plateau": fit(MSE, settings="schedule = plateau(factor=0.5, patience=0, warmup=3)"),
    "stopped early": fit(MSE, settings='stop_early = (patience=1, on="valid error", least=0.01)'),
    "sums": fit(
        "guess = net(x)\n        minimize sum((guess - y) ** 2)\n        report squares = sum((guess - y) ** 2)",
        settings="optimizer = sgd(lr=1e-3)",
        net="Plain",
    ),
    "sums over N": fit("minimize sum((net(x) - y) ** 2) / N", settings=ADAM, net="Plain"),
    "quasi-Newton": fit(MSE, settings="optimizer = lbfgs(iterations=3)", net="Plain", batch="all"),
    "assignments": fit(
        """minimize mse(student(x), y) + mse(student(x + 0.1 * normal_like(x)), stop(teacher(x))) over student
        teacher := 0.9 * teacher + 0.1 * student
        report lag = mse(teacher(x), y)""",
        net="student = Plain()\n    teacher = Plain()",
        settings=ADAM,
    ),
    "more processes than examples": fit(MSE, net="Plain", batch="1"),
    "draws": fit(
        """t = randint(N, below=5)
        z = normal(N, 4, 3)
        same = normal(3)
        kept = bernoulli(N, 3, p=0.7)
        one = categorical(uniform(N, 5) + 0.1)
        other = categorical(uniform(5) + 0.1, N)
        h = x * kept + 0.1 * mean(z * uniform_like(z), axis=1) + 0.1 * same
        scale = 1 + 0.1 * cast(t + one + other, "float")
        minimize mse(net(h) * scale[:, none], y)
        report first = mean(cast(t, "float"))""",
        net="Plain",
    ),
    "augmentation": fit("minimize mse(net(x), y)", data="Images", net="Pixels", settings=ADAM),
    "means assigned": fit(
        """report error = mse(net(x), y)
        net.W := 0.9 * net.W + 0.1 * (x.T @ y) / N""",
        net="net = Hebb()",
    ),
    "measures": fit(
        """guess = net(x)
        minimize mse(guess, y)
        report r2 = r2(guess, y)
        report root = rmse(guess, y)
        report auroc = auroc(guess[:, 0], y[:, 0] > 0)""",
        settings=ADAM,
    ),
    "bucketing": fit(MSE, net="Plain").replace("batch = 15", "batch = 16\n        shuffle = true"),
}
