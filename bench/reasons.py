"""Why a goal is missed, by how the figure's name begins. Kept by hand: measuring tells that, not why."""

REASONS: dict[str, str] = {
}
