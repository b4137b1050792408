package dev.edgegen.core.bundle

import java.io.File
import java.io.IOException

private const val AGAIN = "Copy or download the bundle again."
private const val MAX_TASK_METADATA = 1024L * 1024
private const val MAX_LLM_METADATA = 4L * 1024 * 1024
private const val MAX_SIDE_SECTION = 1024L * 1024
private val TFLITE_IDENTIFIER = "TFL3".encodeToByteArray()

/** Reads what a bundle tells of itself. Nothing of a file is trusted, and little of it read. */
object BundleReader {
    /**
     * Opens a bundle of either format. Reads some kB; call it off the main thread.
     *
     * @throws BundleException the file cannot be read, is no bundle, damaged or cut off, or lacks
     *   what engines need.
     */
    fun read(file: File): BundleInfo {
        if (!file.isFile) throw BundleException("There is no ${file.name}.", "Copy it again.")
        return try {
            FileBytes(file).use { bytes -> read(file, bytes) }
        } catch (error: DamageException) {
            throw BundleException("${file.name} is no good bundle: ${error.message}.", AGAIN)
        } catch (error: IOException) {
            throw BundleException(
                "${file.name} cannot be read: ${error.message}",
                "Check that the app may read it.",
            )
        }
    }

    private fun read(file: File, bytes: FileBytes): BundleInfo {
        val isLitertlm = bytes.upTo(0, MAGIC.size).contentEquals(MAGIC)
        val format = if (isLitertlm) BundleFormat.LITERTLM else BundleFormat.TASK
        val info = if (isLitertlm) litertlm(file, bytes) else task(file, bytes)
        for (member in info.members) {
            if (member.role in MODELS) checkIdentifier(bytes, member)
        }
        if (!file.name.endsWith(format.suffix) || file.name == format.suffix) {
            damaged("its name does not end in ${format.suffix}, and engines go by that")
        }
        return try {
            val facts = readSignatures(bytes, require(info.members, MODEL))
            info.copy(signatures = facts.signatures, kvCacheLen = facts.kvCacheLen)
        } catch (error: DamageException) {
            info.copy(modelProblem = "its signatures cannot be read: ${error.message}")
        }
    }

    private fun task(file: File, bytes: FileBytes): BundleInfo {
        val known = MODELS + listOf(TOKENIZER, METADATA, SIDE_SECTION)
        val members = zipMembers(bytes).map { it.copy(role = it.name.takeIf(known::contains)) }
        for (role in listOf(MODEL, TOKENIZER, METADATA)) require(members, role)
        val told = parseMetadata(content(bytes, require(members, METADATA), MAX_TASK_METADATA))
        val parameters = side(bytes, members)?.let { mergeIntoMetadata(told, it) } ?: told
        return BundleInfo(file, BundleFormat.TASK, bytes.size, members, parameters)
    }

    private fun litertlm(file: File, bytes: FileBytes): BundleInfo {
        val header = litertlmHeader(bytes)
        val members = litertlmMembers(header.sections)
        require(members, MODEL)
        val tokenizer =
            members.firstOrNull { it.role == HF_TOKENIZER } ?: require(members, TOKENIZER)
        val metadata = content(bytes, require(members, METADATA), MAX_LLM_METADATA)
        val told = parseLlmMetadata(metadata, Pieces(bytes, tokenizer)::of)
        val parameters = side(bytes, members)?.let { mergeIntoLlmMetadata(told.parameters, it) }
        return BundleInfo(
            file = file,
            format = BundleFormat.LITERTLM,
            sizeBytes = bytes.size,
            members = members,
            parameters = parameters ?: told.parameters,
            llmModelType = told.llmModelType,
            minRuntimeVersion = told.minRuntimeVersion,
            backends = backends(header.sections),
            header = header.system,
        )
    }

    private fun backends(sections: List<Section>): Map<String, List<String>> = buildMap {
        for (section in sections) {
            val said = section.items["backend_constraint"] ?: continue
            val tag = section.modelTag ?: continue
            put(tag, said.split(',').map { it.trim() })
        }
    }

    private fun side(bytes: FileBytes, members: List<Member>): GenerationParameters? =
        members.firstOrNull { it.role == SIDE_SECTION }
            ?.let { parseSideSection(content(bytes, it, MAX_SIDE_SECTION)) }

    private fun content(bytes: FileBytes, member: Member, most: Long): ByteArray {
        if (member.sizeBytes > most) {
            damaged("member ${member.name} has ${member.sizeBytes} bytes, expected at most $most")
        }
        return bytes.bytes(member.offset, member.sizeBytes.toInt())
    }

    private fun require(members: List<Member>, role: String): Member =
        members.firstOrNull { it.role == role } ?: damaged("it has no $role")

    private fun checkIdentifier(bytes: FileBytes, member: Member) {
        if (!bytes.upTo(member.offset + 4, 4).contentEquals(TFLITE_IDENTIFIER)) {
            damaged("member ${member.name} is no TFLite model")
        }
    }
}
