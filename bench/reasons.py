"""Why a goal is missed, by how the figure's name begins. Kept by hand: measuring tells that, not why."""

REASONS: dict[str, str] = {
    "requests/s through": "A request costs HAProxy some 4 µs more than one comparison of its path: its host is taken "
                          "out of the header and the path is looked up in maps. How many routes there are adds little.",
    "broken: ": "HAProxy ends a worker that has outlived 50 reloads (`mworker-max-reloads`), and with it what it still "
                "carries.",
}
