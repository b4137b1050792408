package dev.edgegen.core.bundle

/**
 * A table of a flatbuffer in a file.
 *
 * @param start byte of the file at which the flatbuffer begins.
 * @param end byte of the file before which it ends.
 */
internal class FlatTable(
    private val file: FileBytes,
    private val start: Long,
    private val end: Long,
    private val at: Long,
) {
    private val vtable = inside(at - file.i32(inside(at, 4)), 4)
    private val vtableSize = file.u16(vtable)

    init {
        inside(vtable, vtableSize.toLong())
    }

    /** Returns where field number [index] lies; `null` if it is not said. */
    fun field(index: Int, size: Long = 1): Long? {
        val slot = 4 + 2 * index
        if (slot + 2 > vtableSize) return null
        val offset = file.u16(vtable + slot)
        return if (offset == 0) null else inside(at + offset, size)
    }

    fun u8(index: Int): Int = field(index)?.let(file::u8) ?: 0

    fun i32(index: Int): Int = field(index, 4)?.let(file::i32) ?: 0

    fun i64(index: Int): Long = field(index, 8)?.let(file::i64) ?: 0

    fun table(index: Int): FlatTable? =
        field(index, 4)?.let { FlatTable(file, start, end, target(it)) }

    fun text(index: Int): String? = field(index, 4)?.let { textAt(target(it)) }

    /** Returns the tables of a list; empty if it is not said. */
    fun tables(index: Int, most: Int): List<FlatTable> {
        val (first, count) = list(index, most, 4) ?: return emptyList()
        return List(count) { FlatTable(file, start, end, target(first + 4L * it)) }
    }

    /** Returns the list's table number [which], without making the others. */
    fun tableAt(index: Int, which: Int): FlatTable {
        val (first, count) = list(index, Int.MAX_VALUE, 4) ?: damaged("a list is missing")
        if (which !in 0 until count) damaged("entry $which of a list of $count was asked for")
        return FlatTable(file, start, end, target(first + 4L * which))
    }

    fun ints(index: Int, most: Int): List<Int> {
        val (first, count) = list(index, most, 4) ?: return emptyList()
        return List(count) { file.i32(first + 4L * it) }
    }

    /** Reads a number of a table that holds nothing else. */
    fun <T> scalar(size: Long, none: T, read: (FileBytes, Long) -> T): T =
        field(0, size)?.let { read(file, it) } ?: none

    private fun list(index: Int, most: Int, width: Long): Pair<Long, Int>? {
        val at = target(field(index, 4) ?: return null)
        val count = file.u32(inside(at, 4))
        if (count > most) damaged("a list has $count entries, expected at most $most")
        inside(at + 4, count * width)
        return at + 4 to count.toInt()
    }

    private fun textAt(place: Long): String {
        val count = file.u32(inside(place, 4))
        if (count > MAX_TEXT_BYTES) damaged("a text has $count bytes")
        return utf8(file.bytes(inside(place + 4, count), count.toInt()))
    }

    private fun target(place: Long): Long = inside(place + file.u32(place), 4)

    private fun inside(place: Long, size: Long): Long {
        if (place < start || place > end - size) damaged("a table lies outside")
        return place
    }

    companion object {
        private const val MAX_TEXT_BYTES = 1024 * 1024

        /** Returns the root of the flatbuffer between two bytes of a file. */
        fun root(file: FileBytes, start: Long, end: Long): FlatTable {
            if (end - start < 8) damaged("it is too short for a flatbuffer")
            return FlatTable(file, start, end, start + file.u32(start))
        }
    }
}
