"""The U-Net of latent diffusion: down, middle and up blocks around skip connections.

Shapes: `B` batch, `C` channels, `H` and `W` height and width of the latent image, `E` size of the
timestep's embedding, `S` tokens of the text, `D` channels of the text. An image shrinks and grows
on its way, so `C`, `H` and `W` are those of the place they stand at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

DENOISE = "denoise"
LATENT = "latent"  # float32 [1, C, H, W]
TIMESTEP = "timestep"  # float32 [1]
ENCODER_HIDDEN_STATES = "encoder_hidden_states"  # float32 [1, S, D]
NOISE = "noise"  # float32 [1, C, H, W]


class DownBlock(nn.Module):
    """Residual blocks, each with attention to the text or none; then half the size.

    As diffusers' `CrossAttnDownBlock2D`, or `DownBlock2D` without attentions.

    Args:
        resnets: The residual blocks in order.
        attentions: One for each residual block, or none at all.
        downsampler: What halves the size, if anything does.
    """

    def __init__(
        self,
        *,
        resnets: Sequence[nn.Module],
        attentions: Sequence[nn.Module],
        downsampler: nn.Module | None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.downsamplers = nn.ModuleList([] if downsampler is None else [downsampler])

    def forward(
        self, x: torch.Tensor, temb: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Map `[B, C, H, W]`, with `temb [B, E]` and the text `[B, S, D]`, to a deeper image.

        Returns:
            The image, and every image on the way to it (the last is the image itself), for the
            up blocks.
        """
        skips = []
        for i, resnet in enumerate(self.resnets):
            x = resnet(x, temb)
            if self.attentions:
                x = self.attentions[i](x, encoder_hidden_states)
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            skips.append(x)
        return x, skips


class MidBlock(nn.Module):
    """Residual block, attention to the text, residual block.

    As diffusers' `UNetMidBlock2DCrossAttn` with one layer.

    Args:
        resnets: The two residual blocks.
        attention: What stands between them.
    """

    def __init__(self, *, resnets: Sequence[nn.Module], attention: nn.Module) -> None:
        super().__init__()
        self.attentions = nn.ModuleList([attention])
        self.resnets = nn.ModuleList(resnets)

    def forward(
        self, x: torch.Tensor, temb: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> torch.Tensor:
        """Map `[B, C, H, W]` to the same shape; the arguments are those of `DownBlock`."""
        x = self.attentions[0](self.resnets[0](x, temb), encoder_hidden_states)
        output: torch.Tensor = self.resnets[1](x, temb)
        return output


class UpBlock(nn.Module):
    """Residual blocks that take in what the way down left; then twice the size.

    As diffusers' `CrossAttnUpBlock2D`, or `UpBlock2D` without attentions.

    Args:
        resnets: The residual blocks in order; each takes one skip connection.
        attentions: One for each residual block, or none at all.
        upsampler: What doubles the size, if anything does.
    """

    def __init__(
        self,
        *,
        resnets: Sequence[nn.Module],
        attentions: Sequence[nn.Module],
        upsampler: nn.Module | None,
    ) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(resnets)
        self.attentions = nn.ModuleList(attentions)
        self.upsamplers = nn.ModuleList([] if upsampler is None else [upsampler])

    def forward(
        self,
        x: torch.Tensor,
        skips: list[torch.Tensor],
        temb: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
    ) -> torch.Tensor:
        """Map `[B, C, H, W]` to a shallower image.

        Args:
            x: The image.
            skips: What the down blocks left; this block takes its share off the end.
            temb: `[B, E]`.
            encoder_hidden_states: `[B, S, D]`.
        """
        for i, resnet in enumerate(self.resnets):
            x = resnet(torch.cat([x, skips.pop()], dim=1), temb)
            if self.attentions:
                x = self.attentions[i](x, encoder_hidden_states)
        for upsampler in self.upsamplers:
            x = upsampler(x)
        return x


class UNet2DCondition(nn.Module):
    """One step of denoising under a text, as diffusers' `UNet2DConditionModel`.

    Args:
        latent_shape: C, H and W of the latent image.
        text_shape: S and D of the text.
        conv_in: From the latent image to the first block.
        time_proj: From steps `[B]` to waves.
        time_embedding: From waves to `[B, E]`.
        down_blocks: The way down, in order.
        mid_block: The deepest block.
        up_blocks: The way up, in order.
        conv_norm_out: The last norm.
        activation: Between the last norm and `conv_out`.
        conv_out: From the last block to the noise.
    """

    def __init__(
        self,
        *,
        latent_shape: tuple[int, int, int],
        text_shape: tuple[int, int],
        conv_in: nn.Module,
        time_proj: nn.Module,
        time_embedding: nn.Module,
        down_blocks: Sequence[DownBlock],
        mid_block: MidBlock,
        up_blocks: Sequence[UpBlock],
        conv_norm_out: nn.Module,
        activation: Callable[[torch.Tensor], torch.Tensor],
        conv_out: nn.Module,
    ) -> None:
        super().__init__()
        self.latent_shape = latent_shape
        self.text_shape = text_shape
        self.conv_in = conv_in
        self.time_proj = time_proj
        self.time_embedding = time_embedding
        self.down_blocks = nn.ModuleList(down_blocks)
        self.mid_block = mid_block
        self.up_blocks = nn.ModuleList(up_blocks)
        self.conv_norm_out = conv_norm_out
        self.activation = activation
        self.conv_out = conv_out

    def forward(
        self, latent: torch.Tensor, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor
    ) -> torch.Tensor:
        """Predict the noise `[B, C, H, W]` in `latent [B, C, H, W]`.

        Args:
            latent: The noisy latent image.
            timestep: `[B]`, in steps of the training's schedule.
            encoder_hidden_states: The text, `[B, S, D]`.
        """
        temb = self.time_embedding(self.time_proj(timestep))
        x = self.conv_in(latent)
        skips = [x]
        for down_block in self.down_blocks:
            x, left = down_block(x, temb, encoder_hidden_states)
            skips += left
        x = self.mid_block(x, temb, encoder_hidden_states)
        for up_block in self.up_blocks:
            x = up_block(x, skips, temb, encoder_hidden_states)
        noise: torch.Tensor = self.conv_out(self.activation(self.conv_norm_out(x)))
        return noise

    def signatures(self, prefill_lens: Sequence[int]) -> dict[str, int]:
        """Return the entry points: one step, whatever the prefill lengths."""
        return {DENOISE: 1}

    def sample_inputs(
        self, signature: str, tokens: int, kv_cache_len: int
    ) -> dict[str, torch.Tensor]:
        """Make zeros to trace with; all shapes are the config's, none the arguments'."""
        return {
            LATENT: torch.zeros(1, *self.latent_shape),
            TIMESTEP: torch.zeros(1),
            ENCODER_HIDDEN_STATES: torch.zeros(1, *self.text_shape),
        }

    def run(self, signature: str, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run the one signature on named inputs, and name its output."""
        noise = self(inputs[LATENT], inputs[TIMESTEP], inputs[ENCODER_HIDDEN_STATES])
        return {NOISE: noise}
