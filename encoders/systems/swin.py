"""Pieces of a Swin transformer for grids of a known side, under the names that published checkpoints use.

Attention runs inside windows of 7x7 places. Every second block moves the grid by three places first, so that windows
straddle the borders of those before; places that only met by moving around the edge must not see each other, which is
what the mask says. Everything but the batch has a fixed size: masks and position tables are constants in an export.
"""

from __future__ import annotations

import torch
from torch import nn

WINDOW = 7
SHIFT = 3
#: What the mask adds to the score of two places that must not see each other.
_APART = -100.0


def relative_positions(window: int) -> torch.Tensor:
    """For each two places of a window, the row of the table that holds the bias of their distance."""
    rows, columns = (axis.flatten() for axis in torch.meshgrid(*2 * [torch.arange(window)], indexing="ij"))
    down, right = (axis[:, None] - axis[None, :] + window - 1 for axis in (rows, columns))
    return down * (2 * window - 1) + right


def shift_mask(side: int, window: int, shift: int) -> torch.Tensor:
    """For each window of a moved grid, what to add to the score of each two of its places."""
    places = torch.arange(side)
    band = (places >= side - window).long() + (places >= side - shift).long()
    regions = (3 * band[:, None] + band[None, :]).view(1, side, side, 1)
    inside = to_windows(regions, window).squeeze(-1)
    return _APART * (inside[:, :, None] != inside[:, None, :]).float()


def to_windows(grid: torch.Tensor, window: int) -> torch.Tensor:
    """From (N, side, side, C) to (N * windows, window * window, C)."""
    batch, height, width, channels = grid.shape
    cut = grid.reshape(batch, height // window, window, width // window, window, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, channels)


def to_grid(windows: torch.Tensor, window: int, side: int) -> torch.Tensor:
    """Inverse of :func:`to_windows`."""
    count, channels = side // window, windows.shape[-1]
    cut = windows.reshape(-1, count, count, window, window, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, side, side, channels)


class WindowAttention(nn.Module):
    """Self-attention inside each window, with a learnt bias for each distance between two places."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (channels // heads) ** -0.5
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.relative_position_index: torch.Tensor
        self.register_buffer("relative_position_index", relative_positions(WINDOW))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Keep the shape (windows, places, channels); the mask is (windows of one grid, places, places)."""
        count, places, channels = windows.shape
        parts = self.qkv(windows).reshape(count, places, 3, self.heads, channels // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        scores = (self.scale * query) @ key.transpose(-2, -1)
        scores = scores + bias.view(places, places, self.heads).permute(2, 0, 1)
        if mask is not None:
            split = scores.reshape(-1, len(mask), self.heads, places, places)
            scores = (split + mask.unsqueeze(1)).reshape(-1, self.heads, places, places)
        mixed = scores.softmax(dim=-1) @ value
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(count, places, channels))
        return out


class Mlp(nn.Module):
    """Two linear layers with four times the channels in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Keep the shape."""
        out: torch.Tensor = self.fc2(nn.functional.gelu(self.fc1(x)))
        return out


class SwinBlock(nn.Module):
    """Attention and an MLP, each added to what it has read normalised."""

    def __init__(self, channels: int, heads: int, side: int, shift: int) -> None:
        super().__init__()
        self.side, self.shift = side, shift
        self.norm1 = nn.LayerNorm(channels)
        self.attn = WindowAttention(channels, heads)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = Mlp(channels)
        self.attn_mask: torch.Tensor | None
        self.register_buffer("attn_mask", shift_mask(side, WINDOW, shift) if shift else None)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Keep the shape (N, side, side, C)."""
        x = self.norm1(grid)
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), dims=(1, 2))
        x = to_grid(self.attn(to_windows(x, WINDOW), self.attn_mask), WINDOW, self.side)
        if self.shift:
            x = torch.roll(x, (self.shift, self.shift), dims=(1, 2))
        grid = grid + x
        refined: torch.Tensor = grid + self.mlp(self.norm2(grid))
        return refined


def make_blocks(channels: int, heads: int, side: int) -> nn.Sequential:
    """A block on windows in place, then one on moved windows."""
    return nn.Sequential(*(SwinBlock(channels, heads, side, shift) for shift in (0, SHIFT)))


class PatchMerge(nn.Module):
    """Each 2x2 places become one with twice the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * channels)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """From (N, side, side, C) to (N, side / 2, side / 2, 2 C)."""
        parts = [grid[:, row::2, column::2] for column in (0, 1) for row in (0, 1)]
        merged: torch.Tensor = self.reduction(self.norm(torch.cat(parts, dim=-1)))
        return merged
