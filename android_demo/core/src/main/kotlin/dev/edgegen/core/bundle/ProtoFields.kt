package dev.edgegen.core.bundle

/**
 * A field of a protocol buffer's message, as it lies on the wire.
 *
 * @property number of a varint, the value's low 64 bits.
 * @property bytes of a text, a message or a fixed number; `null` for a varint.
 */
internal class ProtoField(val id: Long, val wire: Int, val number: Long, val bytes: ByteArray?) {
    fun text(): String = utf8(message())

    fun message(): ByteArray = bytes ?: damaged("a number stands where text was expected")

    fun float(): Float {
        val data = message()
        val bits = (0..3).fold(0) { sum, i -> sum or ((data[i].toInt() and 0xFF) shl (8 * i)) }
        return Float.fromBits(bits)
    }
}

internal const val VARINT = 0
internal const val FIXED64 = 1
internal const val LENGTH = 2
internal const val START_GROUP = 3
internal const val END_GROUP = 4
internal const val FIXED32 = 5

/** Reads the fields of one message in their order. */
internal fun protoFields(data: ByteArray): List<ProtoField> = ProtoReader(data).fields()

private class ProtoReader(private val data: ByteArray) {
    private var at = 0

    fun fields(): List<ProtoField> {
        val found = mutableListOf<ProtoField>()
        while (at < data.size) {
            val key = varint()
            val id = key ushr 3
            when (val wire = (key and 7).toInt()) {
                VARINT -> found += ProtoField(id, wire, varint(), null)
                LENGTH -> found += ProtoField(id, wire, 0, take(varint()))
                FIXED32 -> found += ProtoField(id, wire, 0, take(4))
                FIXED64 -> found += ProtoField(id, wire, 0, take(8))
                else -> damaged("unknown wire type $wire")
            }
        }
        return found
    }

    private fun take(count: Long): ByteArray {
        if (count < 0 || count > data.size - at) damaged("a field is longer than what is left")
        return data.copyOfRange(at, at + count.toInt()).also { at += count.toInt() }
    }

    private fun varint(): Long {
        var value = 0L
        for (shift in 0 until 70 step 7) {
            if (at >= data.size) damaged("a number is cut off")
            val byte = data[at++].toInt()
            if (shift < 64) value = value or ((byte.toLong() and 0x7F) shl shift)
            if (byte >= 0) return value
        }
        damaged("a number has no end")
    }
}
