package dev.edgegen.core.bundle

/**
 * The directory of a zip file whose members are all stored, read without trusting it.
 *
 * `java.util.zip` does not tell where a member's data lies, takes compressed members for good, and
 * picks one of two that have the same name.
 */
internal fun zipMembers(file: FileBytes): List<Member> {
    val directory = findDirectory(file)
    if (directory.size > MAX_DIRECTORY_BYTES) {
        damaged("its directory has ${directory.size} bytes, expected at most $MAX_DIRECTORY_BYTES")
    }
    val members = mutableListOf<Member>()
    var at = directory.offset
    val end = directory.offset + directory.size
    while (at < end) {
        if (members.size == MAX_MEMBERS) damaged("it has more than $MAX_MEMBERS members")
        val entry = entryAt(file, at, directory.shift)
        members += memberOf(file, entry)
        at = entry.end
    }
    val names = members.map { it.name }
    if (names.toSet().size < names.size) damaged("it has several members of the same name")
    refuseOverlaps(members)
    return members
}

private class Directory(val offset: Long, val size: Long, val shift: Long)

private class Entry(
    val rawName: ByteArray,
    val flags: Int,
    val method: Int,
    val packedSize: Long,
    val size: Long,
    val headerAt: Long,
    val end: Long,
)

private fun findDirectory(file: FileBytes): Directory {
    val at = endRecord(file) ?: damaged("it is no zip file, or cut off")
    var size = file.u32(at + 12)
    var offset = file.u32(at + 16)
    // What stands before the zip moves everything: MediaPipe's bundler puts four bytes there.
    var shift = at - size - offset
    val locator = at - LOCATOR64
    if (locator >= END64 && file.u32(locator) == LOCATOR64_MAGIC) {
        if (file.u32(locator + 4) != 0L || file.u32(locator + 16) > 1) {
            damaged("it is one of several parts")
        }
        val end64 = locator - END64
        if (file.u32(end64) == END64_MAGIC) {
            size = notNegative(file.i64(end64 + 40))
            offset = notNegative(file.i64(end64 + 48))
            shift = end64 - size - offset
        }
    }
    if (size > file.size || offset + shift !in 0..file.size) damaged("its directory is not in it")
    return Directory(offset + shift, size, shift)
}

private fun endRecord(file: FileBytes): Long? {
    val last = file.size - END
    if (last < 0) return null
    if (file.u32(last) == END_MAGIC && file.u16(last + 20) == 0) return last
    val from = maxOf(0, last - MAX_COMMENT)
    val tail = file.bytes(from, (file.size - from).toInt())
    return (tail.size - END downTo 0).firstOrNull { at ->
        END_BYTES.indices.all { tail[at + it] == END_BYTES[it] }
    }?.let { from + it }
}

private fun entryAt(file: FileBytes, at: Long, shift: Long): Entry {
    if (file.u32(at) != ENTRY_MAGIC) damaged("its directory has no entry at byte $at")
    if (file.u8(at + 6) > NEWEST_VERSION) damaged("it needs a newer zip program")
    val flags = file.u16(at + 8)
    val nameSize = file.u16(at + 28)
    val extraSize = file.u16(at + 30)
    val commentSize = file.u16(at + 32)
    val numbers = longArrayOf(file.u32(at + 24), file.u32(at + 20), file.u32(at + 42))
    val extraAt = at + ENTRY + nameSize
    largeNumbers(file, extraAt, extraAt + extraSize, numbers)
    return Entry(
        rawName = file.bytes(at + ENTRY, nameSize),
        flags = flags,
        method = file.u16(at + 10),
        packedSize = numbers[1],
        size = numbers[0],
        headerAt = numbers[2] + shift,
        end = extraAt + extraSize + commentSize,
    )
}

/** Takes numbers that need 64 bits from the extra field: size, packed size, place of the header. */
private fun largeNumbers(file: FileBytes, from: Long, end: Long, numbers: LongArray) {
    var at = from
    while (at + 4 <= end) {
        val kind = file.u16(at)
        val size = file.u16(at + 2)
        if (at + 4 + size > end) damaged("an extra field of its directory is cut off")
        if (kind == EXTRA64) {
            var place = at + 4
            for (i in numbers.indices) {
                val large = numbers[i] == ALL_ONES || (i == 0 && numbers[i] == -1L)
                if (!large) continue
                if (place + 8 > at + 4 + size) damaged("an extra field of its directory is short")
                numbers[i] = notNegative(file.i64(place))
                place += 8
            }
        }
        at += 4 + size
    }
}

private fun memberOf(file: FileBytes, entry: Entry): Member {
    val name = utf8(entry.rawName)
    if (entry.flags and UTF8_NAMES == 0 && entry.rawName.any { it < 0 }) {
        damaged("a member's name is in an unknown alphabet")
    }
    val shown = name.substringBefore('\u0000')
    val parts = shown.replace('\\', '/').split('/')
    if (shown.isEmpty() || shown[0] in "/\\" || ".." in parts || ':' in shown) {
        damaged("it has a member named '$shown', which would leave the folder it is extracted to")
    }
    if (entry.method != STORED || entry.packedSize != entry.size) {
        damaged("member $shown is compressed, engines map stored members only")
    }
    if (entry.flags and ENCRYPTED != 0) damaged("member $shown is encrypted")
    val at = entry.headerAt
    if (at < 0 || at > file.size || file.u32(at) != LOCAL_MAGIC) {
        damaged("there is no member at byte $at, where its directory says $shown")
    }
    val localSize = file.u16(at + 26)
    val local = file.upTo(at + LOCAL, localSize)
    if (!local.contentEquals(entry.rawName) || file.u16(at + 8) != STORED) {
        damaged("its directory and member $shown do not say the same")
    }
    val offset = at + LOCAL + localSize + file.u16(at + 28)
    if (offset > file.size - entry.size) damaged("it is cut off inside member $shown")
    return Member(shown, offset, entry.size, null)
}

private fun refuseOverlaps(members: List<Member>) {
    for ((before, member) in members.sortedBy { it.offset }.zipWithNext()) {
        if (member.offset < before.offset + before.sizeBytes) {
            damaged("member ${member.name} begins inside ${before.name}")
        }
    }
}

private fun notNegative(number: Long): Long =
    if (number < 0) damaged("a size has 64 bits") else number

private const val MAX_MEMBERS = 64
private const val MAX_DIRECTORY_BYTES = 4L * 1024 * 1024
private const val MAX_COMMENT = 0xFFFF
private const val END = 22
private const val END64 = 56
private const val LOCATOR64 = 20
private const val ENTRY = 46
private const val LOCAL = 30
private const val END_MAGIC = 0x06054b50L
private val END_BYTES = byteArrayOf(0x50, 0x4b, 5, 6)
private const val END64_MAGIC = 0x06064b50L
private const val LOCATOR64_MAGIC = 0x07064b50L
private const val ENTRY_MAGIC = 0x02014b50L
private const val LOCAL_MAGIC = 0x04034b50L
private const val NEWEST_VERSION = 63
private const val EXTRA64 = 1
private const val ALL_ONES = 0xFFFFFFFFL
private const val STORED = 0
private const val ENCRYPTED = 1
private const val UTF8_NAMES = 0x800
