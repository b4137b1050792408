package dev.edgegen.core.bundle

import java.io.ByteArrayOutputStream
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32
import java.util.zip.ZipEntry
import java.util.zip.ZipOutputStream

/** A field of a table, for [Flat]. */
internal sealed interface Field {
    class Bytes(val value: ByteArray) : Field

    class Ref(val write: Flat.() -> Int) : Field
}

internal fun u8(value: Int) = Field.Bytes(byteArrayOf(value.toByte()))

internal fun i32(value: Int) = Field.Bytes(little(4) { putInt(value) })

internal fun i64(value: Long) = Field.Bytes(little(8) { putLong(value) })

internal fun text(value: String) = Field.Ref { text(value) }

internal fun table(vararg fields: Field?) = Field.Ref { table(fields.toList()) }

internal fun tables(tables: List<Field.Ref>) = Field.Ref { list(tables) }

internal fun ints(vararg values: Int) =
    Field.Ref {
        bytes(
            little(4 + 4 * values.size) {
                putInt(values.size)
                values.forEach(::putInt)
            },
        )
    }

internal fun little(size: Int, fill: ByteBuffer.() -> Unit): ByteArray =
    ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN).apply(fill).array()

/** Writes a flatbuffer, parents before their children. */
internal class Flat {
    private val data = ByteBuffer.allocate(1 shl 16).order(ByteOrder.LITTLE_ENDIAN)

    fun bytes(value: ByteArray): Int = data.position().also { data.put(value) }

    fun text(value: String): Int {
        val content = value.encodeToByteArray()
        return bytes(little(5 + content.size) { putInt(content.size); put(content) })
    }

    fun table(fields: List<Field?>): Int {
        val sizes = fields.map { if (it is Field.Bytes) it.value.size else 4 }
        val vtable = data.position()
        data.putShort((4 + 2 * fields.size).toShort()).putShort(0)
        var offset = 4
        for ((field, size) in fields.zip(sizes)) {
            data.putShort(if (field == null) 0 else offset.toShort())
            if (field != null) offset += size
        }
        val table = data.position()
        data.putInt(table - vtable)
        val places = fields.map { field ->
            data.position().also {
                when (field) {
                    is Field.Bytes -> data.put(field.value)
                    is Field.Ref -> data.putInt(0)
                    null -> Unit
                }
            }
        }
        for ((field, place) in fields.zip(places)) {
            if (field is Field.Ref) data.putInt(place, field.write(this) - place)
        }
        return table
    }

    fun list(tables: List<Field.Ref>): Int {
        val start = data.position()
        data.putInt(tables.size)
        repeat(tables.size) { data.putInt(0) }
        tables.forEachIndexed { i, table ->
            val place = start + 4 + 4 * i
            data.putInt(place, table.write(this) - place)
        }
        return start
    }

    companion object {
        fun of(root: Field.Ref, identifier: String = ""): ByteArray {
            val flat = Flat()
            flat.data.putInt(0).put(identifier.encodeToByteArray())
            flat.data.putInt(0, root.write(flat))
            return flat.data.array().copyOf(flat.data.position())
        }
    }
}

/** Writes messages of protocol buffers. */
internal class Proto {
    private val out = ByteArrayOutputStream()

    fun number(id: Int, value: Long) = apply { varint(id * 8L); varint(value) }

    fun bytes(id: Int, value: ByteArray) = apply {
        varint(id * 8L + 2)
        varint(value.size.toLong())
        out.write(value)
    }

    fun text(id: Int, value: String) = bytes(id, value.encodeToByteArray())

    fun message(id: Int, value: Proto) = bytes(id, value.done())

    fun float(id: Int, value: Float) = apply {
        varint(id * 8L + 5)
        out.write(little(4) { putFloat(value) })
    }

    fun double(id: Int) = apply { varint(id * 8L + 1); out.write(ByteArray(8)) }

    fun raw(vararg values: Int) = apply { values.forEach(out::write) }

    fun done(): ByteArray = out.toByteArray()

    private fun varint(value: Long) {
        var left = value
        while (left and 0x7FL.inv() != 0L) {
            out.write((left.toInt() and 0x7F) or 0x80)
            left = left ushr 7
        }
        out.write(left.toInt())
    }
}

/** Bundles for tests: a model without weights, and what surrounds it. */
internal object BundleFiles {
    fun model(kvCacheLen: Int = 64): ByteArray {
        fun signature(name: String) = table(
            tables(listOf(table(text("tokens"), i32(0)), table(text("kv_cache_k_0"), i32(1)))),
            tables(listOf(table(text("logits"), i32(0)))),
            text(name),
            null,
            i32(0),
        )
        val graph = table(tables(listOf(table(ints(1, 1)), table(ints(1, 2, kvCacheLen, 8)))))
        val root = table(
            i32(3), null, tables(listOf(graph)), null, null, null, null,
            tables(listOf(signature("prefill_32"), signature("prefill_8"), signature("decode"))),
        )
        return Flat.of(root, "TFL3")
    }

    val metadata: Proto
        get() = Proto().text(5, "</s>").text(6, "<s>").message(
            17,
            Proto().message(1, Proto().text(2, "U:").text(3, "\n")).message(
                2,
                Proto().text(2, "M:"),
            ),
        )

    val llmMetadata: Proto
        get() = Proto()
            .message(1, Proto().text(2, "<s>"))
            .message(2, Proto().text(2, "</s>"))
            .message(6, Proto().message(4, Proto()))

    fun side(parameters: String): String =
        """{"format": "edgegen.generation", "version": 1, "parameters": {$parameters}}"""

    fun task(members: Map<String, ByteArray>): ByteArray {
        val out = ByteArrayOutputStream()
        out.write(ByteArray(4))
        val zip = ByteArrayOutputStream()
        ZipOutputStream(zip).use { writer ->
            for ((name, content) in members) {
                val entry = ZipEntry(name)
                entry.method = ZipEntry.STORED
                entry.size = content.size.toLong()
                entry.crc = CRC32().apply { update(content) }.value
                writer.putNextEntry(entry)
                writer.write(content)
            }
        }
        out.write(zip.toByteArray())
        return out.toByteArray()
    }

    fun members(vararg more: Pair<String, ByteArray>): Map<String, ByteArray> = linkedMapOf(
        MODEL to model(),
        TOKENIZER to Proto().message(1, Proto().text(1, "<unk>")).done(),
        METADATA to metadata.done(),
        *more,
    )

    /** A section: its type, items and content. */
    class Piece(
        val type: Int,
        val content: ByteArray,
        val items: Map<String,
        Field.Ref> = emptyMap(),
        val kind: Int = 9,
    )

    fun pieces(metadata: Proto = llmMetadata, vararg more: Piece): List<Piece> = listOf(
        Piece(
            3,
            model(),
            mapOf(
                "model_type" to text("tf_lite_prefill_decode"),
                "backend_constraint" to text("cpu, gpu"),
            ),
        ),
        Piece(
            4,
            Proto().message(1, Proto().text(1, "<unk>")).message(1, Proto().text(1, "<s>")).done(),
        ),
        Piece(5, metadata.done()),
        *more,
    )

    fun litertlm(
        pieces: List<Piece>,
        system: List<Field.Ref> = listOf(item("writer", text("edgegen 1"))),
    ): ByteArray {
        val start = 16384L
        val places = pieces.runningFold(start) { at, piece -> at + piece.content.size }
        val sections = pieces.mapIndexed { i, piece ->
            table(
                tables(piece.items.map { (key, value) -> item(key, value, piece.kind) }),
                i64(places[i]),
                i64(places[i + 1]),
                u8(piece.type),
            )
        }
        val header = Flat.of(table(table(tables(system)), table(tables(sections))))
        val out = ByteArray(places.last().toInt())
        val prologue = little(32) {
            put(MAGIC).putInt(1).putInt(4).putInt(0).putInt(0).putLong(32L + header.size)
        }
        prologue.copyInto(out)
        header.copyInto(out, 32)
        pieces.forEachIndexed { i, piece -> piece.content.copyInto(out, places[i].toInt()) }
        return out
    }

    fun item(key: String, value: Field, kind: Int = 9): Field.Ref =
        table(text(key), u8(kind), table(value))

    fun write(folder: File, name: String, content: ByteArray): File =
        folder.resolve(name).also { it.writeBytes(content) }
}
