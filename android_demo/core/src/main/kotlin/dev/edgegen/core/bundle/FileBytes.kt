package dev.edgegen.core.bundle

import java.io.Closeable
import java.io.File
import java.io.RandomAccessFile
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException
import java.nio.charset.CodingErrorAction

/** What was read makes no sense; readers turn it into [BundleException]. */
internal class DamageException(override val message: String) : Exception(message)

internal fun damaged(message: String): Nothing = throw DamageException(message)

/**
 * Bytes of a file by their place: little-endian numbers and pieces, never outside of it.
 *
 * Neighbouring numbers are many and small, so a few pages are kept.
 */
internal class FileBytes(file: File) : Closeable {
    private val source = RandomAccessFile(file, "r")
    val size: Long = source.length()
    private val pages = object : LinkedHashMap<Long, ByteArray>(16, 0.75f, true) {
        override fun removeEldestEntry(eldest: Map.Entry<Long, ByteArray>): Boolean = size > PAGES
    }

    /** Reads [count] bytes, of which a caller has bounded the number. */
    fun bytes(offset: Long, count: Int): ByteArray {
        require(offset, count.toLong())
        return ByteArray(count).also {
            source.seek(offset)
            source.readFully(it)
        }
    }

    /** Reads up to [count] bytes; fewer where the file ends. */
    fun upTo(offset: Long, count: Int): ByteArray =
        bytes(offset.coerceIn(0, size), minOf(count.toLong(), maxOf(0, size - offset)).toInt())

    fun u8(offset: Long): Int {
        require(offset, 1)
        val page = pages.getOrPut(offset / PAGE) { upTo(offset / PAGE * PAGE, PAGE) }
        return page[(offset % PAGE).toInt()].toInt() and 0xFF
    }

    fun u16(offset: Long): Int = u8(offset) or (u8(offset + 1) shl 8)

    fun u32(offset: Long): Long = u16(offset).toLong() or (u16(offset + 2).toLong() shl 16)

    fun i32(offset: Long): Int = u32(offset).toInt()

    /** A 64-bit number, whose upper half reads as negative. */
    fun i64(offset: Long): Long = u32(offset) or (u32(offset + 4) shl 32)

    override fun close() = source.close()

    private fun require(offset: Long, count: Long) {
        if (offset < 0 || count < 0 || offset > size - count) {
            damaged("it tells of byte $offset, and has $size")
        }
    }

    private companion object {
        const val PAGE = 4096
        const val PAGES = 64
    }
}

/** Decodes UTF-8, and refuses what is none. */
internal fun utf8(data: ByteArray): String = try {
    Charsets.UTF_8.newDecoder()
        .onMalformedInput(CodingErrorAction.REPORT)
        .onUnmappableCharacter(CodingErrorAction.REPORT)
        .decode(ByteBuffer.wrap(data))
        .toString()
} catch (_: CharacterCodingException) {
    damaged("a text is not UTF-8")
}
