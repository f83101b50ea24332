"""Why a goal is missed, by the figure's name. Kept by hand: measuring tells that, not why."""

REASONS: dict[str, str] = {
}
