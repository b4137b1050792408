package dev.edgegen.demo.chat

import dev.edgegen.core.chat.ChatState
import dev.edgegen.core.chat.SavedChat
import java.io.File
import java.io.FileOutputStream
import java.io.IOException

/** Keeps the conversation on disk: it may be longer than what Android keeps of a screen. */
class ChatStore(private val file: File) {
    /** Returns what was kept; an empty chat where there is nothing, or nothing readable. */
    fun restore(): ChatState = try {
        SavedChat.decode(file.readText())?.restore() ?: ChatState()
    } catch (_: IOException) {
        ChatState()
    }

    /** Keeps a state; what was kept before stays until this is whole. Blocks. */
    @Synchronized
    fun save(state: ChatState) {
        val part = File(file.path + ".part")
        try {
            FileOutputStream(part).use {
                it.write(SavedChat.of(state).encode().encodeToByteArray())
                it.fd.sync()
            }
            part.renameTo(file)
        } catch (_: IOException) {
            // A full disk: the chat goes on, and is kept with the next change that fits.
            part.delete()
        }
    }
}
