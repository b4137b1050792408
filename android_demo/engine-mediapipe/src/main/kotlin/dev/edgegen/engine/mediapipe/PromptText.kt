package dev.edgegen.engine.mediapipe

import dev.edgegen.core.bundle.GenerationParameters
import dev.edgegen.core.engine.Prompt
import dev.edgegen.core.engine.Role

// MediaPipe has no way to hand over what the model said before, so the text of a conversation is
// made here, from the prefixes and suffixes that the bundle brings.

/** Returns the text of a whole conversation, up to where the model is to answer. */
internal fun GenerationParameters.textOf(prompt: Prompt): String = buildString {
    val system = prompt.system.ifBlank { systemPrompt }
    if (system.isNotBlank()) append(promptPrefixSystem, system, promptSuffixSystem)
    for (turn in prompt.history) {
        when (turn.role) {
            Role.USER -> append(promptPrefixUser, turn.text, promptSuffixUser)
            Role.MODEL -> append(promptPrefixModel, turn.text, promptSuffixModel)
        }
    }
    append(nextTurn(prompt))
}

/** Returns what follows an answer that the session already holds. */
internal fun GenerationParameters.continuationOf(prompt: Prompt): String =
    promptSuffixModel + nextTurn(prompt)

private fun GenerationParameters.nextTurn(prompt: Prompt): String =
    promptPrefixUser + prompt.message + promptSuffixUser + promptPrefixModel
