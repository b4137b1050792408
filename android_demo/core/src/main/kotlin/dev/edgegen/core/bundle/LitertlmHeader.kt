package dev.edgegen.core.bundle

/**
 * A section of a `.litertlm`.
 *
 * @property type its kind, by the schema's number.
 * @property items its own metadata, values as text.
 */
internal class Section(
    val type: Int,
    val items: Map<String, String>,
    val offset: Long,
    val size: Long,
) {
    val kind: String get() = KINDS.getOrElse(type) { "type $type" }

    val name: String get() = items[MODEL_TYPE]?.let { "$kind $it" } ?: kind
}

internal class LitertlmHeader(val system: Map<String, String>, val sections: List<Section>)

/** Reads the header: magic, version, and a flatbuffer that lists the sections. */
internal fun litertlmHeader(file: FileBytes): LitertlmHeader {
    if (file.size < PROLOGUE) damaged("it ends within its header")
    val major = file.u32(MAGIC.size.toLong())
    if (major != MAJOR_VERSION) damaged("it is of format version $major, expected $MAJOR_VERSION")
    val end = file.i64(HEADER_END_AT)
    if (end <= PROLOGUE || end > minOf(file.size, PROLOGUE + MAX_HEADER_BYTES)) {
        damaged("its header would end at byte $end of ${file.size}")
    }
    val root = FlatTable.root(file, PROLOGUE, end)
    val system = root.table(0)?.let { items(it, 0) }.orEmpty()
    val sections = root.table(1)?.tables(0, MAX_SECTIONS).orEmpty().map { told ->
        val begin = told.i64(1)
        Section(told.u8(3), items(told, 0), begin, told.i64(2) - begin)
    }
    checkPlaces(sections, end, file.size)
    return LitertlmHeader(system, sections)
}

private fun items(table: FlatTable, index: Int): Map<String, String> = buildMap {
    for (pair in table.tables(index, MAX_ENTRIES)) {
        val value = pair.table(2) ?: continue
        val key = pair.text(0) ?: damaged("an item has no name")
        put(key, valueText(pair.u8(1), value))
    }
}

/** Returns a value as text, whichever of the schema's types it has. */
private fun valueText(type: Int, value: FlatTable): String = when (type) {
    1 -> value.u8(0).toString()
    2 -> value.u8(0).toByte().toString()
    3 -> value.scalar(2, 0) { file, at -> file.u16(at) }.toString()
    4 -> value.scalar(2, 0) { file, at -> file.u16(at).toShort().toInt() }.toString()
    5 -> value.scalar(4, 0L) { file, at -> file.u32(at) }.toString()
    6 -> value.i32(0).toString()
    7 -> Float.fromBits(value.i32(0)).toString()
    8 -> (value.u8(0) != 0).toString()
    9 -> value.text(0) ?: damaged("an item has no value")
    10 -> value.i64(0).toULong().toString()
    11 -> value.i64(0).toString()
    12 -> Double.fromBits(value.i64(0)).toString()
    else -> damaged("an item is of the unknown type $type")
}

private fun checkPlaces(sections: List<Section>, headerEnd: Long, size: Long) {
    var end = headerEnd
    for (section in sections.sortedBy { it.offset }) {
        if (section.offset < end) damaged("section ${section.name} begins inside another")
        if (section.size < 0 || section.size > size - section.offset) {
            damaged("it is cut off inside section ${section.name}")
        }
        end = section.offset + section.size
    }
    val names = sections.filter { it.type != GENERIC }.map { it.name }
    if (names.toSet().size < names.size) damaged("it has several sections of one kind")
}

/** Returns sections as members; where there are two tokenizers, Hugging Face's counts. */
internal fun litertlmMembers(sections: List<Section>): List<Member> {
    val huggingFace = sections.any { it.type == HF }
    val members = sections.map { section ->
        val role = when (section.type) {
            GENERIC -> SIDE_SECTION.takeIf { section.items["name"] == SIDE_SECTION }
            TFLITE -> section.modelTag
            SENTENCE_PIECE -> if (huggingFace) null else TOKENIZER
            HF -> HF_TOKENIZER
            LLM_METADATA -> METADATA
            else -> null
        }
        Member(section.name, section.offset, section.size, role)
    }
    val roles = members.mapNotNull { it.role }
    if (roles.toSet().size < roles.size) damaged("it has several sections for one thing")
    return members
}

/** The tag of the model that a section holds; `null` for another section, or another model. */
internal val Section.modelTag: String?
    get() = items[MODEL_TYPE]?.uppercase()?.takeIf { type == TFLITE && it in MODELS }

internal val MAGIC = "LITERTLM".encodeToByteArray()
private const val MODEL_TYPE = "model_type"
private const val PROLOGUE = 32L
private const val HEADER_END_AT = 24L
private const val MAJOR_VERSION = 1L
private const val MAX_HEADER_BYTES = 1024L * 1024
private const val MAX_SECTIONS = 64
private const val MAX_ENTRIES = 64
private const val GENERIC = 1
private const val TFLITE = 3
private const val SENTENCE_PIECE = 4
private const val LLM_METADATA = 5
private const val HF = 6

// litert-lm-builder's names of the kinds of sections, by their numbers.
private val KINDS = listOf(
    "NONE",
    "GenericBinaryData",
    "Deprecated",
    "TFLiteModel",
    "SP_Tokenizer",
    "LlmMetadataProto",
    "HF_Tokenizer_Zlib",
    "TFLiteWeights",
    "EmbeddingMetadataProto",
    "ExecutorMetadataProto",
    "TtsMetadataProto",
    "AsrMetadataProto",
)
