package dev.edgegen.core.bundle

import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import org.junit.jupiter.api.io.TempDir

class BundleReaderTest {
    @TempDir lateinit var folder: File

    private fun task(vararg more: Pair<String, ByteArray>): File =
        BundleFiles.write(folder, "a.task", BundleFiles.task(BundleFiles.members(*more)))

    private fun litertlm(
        metadata: Proto = BundleFiles.llmMetadata,
        vararg more: BundleFiles.Piece,
    ): File =
        BundleFiles.write(
            folder,
            "a.litertlm",
            BundleFiles.litertlm(BundleFiles.pieces(metadata, *more)),
        )

    private fun side(parameters: String) =
        BundleFiles.Piece(
            1,
            BundleFiles.side(parameters).encodeToByteArray(),
            mapOf("name" to text(SIDE_SECTION)),
        )

    private fun refusal(file: File): String =
        assertFailsWith<BundleException> { BundleReader.read(file) }.message

    private fun refusal(content: ByteArray, name: String = "a.task"): String =
        refusal(BundleFiles.write(folder, name, content))

    @Test
    fun `a task bundle`() {
        val info = BundleReader.read(task())
        assertEquals(BundleFormat.TASK, info.format)
        assertEquals(listOf(MODEL, TOKENIZER, METADATA), info.members.map { it.role })
        assertEquals(listOf(8, 32), info.prefillLens)
        assertEquals(Signature("prefill_32", 2, 1, 32), info.signatures[0])
        assertEquals(Signature("decode", 2, 1, null), info.signatures[2])
        assertEquals(64, info.kvCacheLen)
        assertNull(info.modelProblem)
        val told = info.parameters
        assertEquals("<s>", told.startToken)
        assertEquals(listOf("</s>"), told.stopTokens)
        assertEquals("U:", told.promptPrefixUser)
        assertEquals("\n", told.promptSuffixUser)
        assertEquals("M:", told.promptPrefixModel)
        assertEquals(info.file.length(), info.sizeBytes)
        assertEquals(TOKENIZER, info.find(TOKENIZER)?.name)
        assertNull(info.find(SIDE_SECTION))
    }

    @Test
    fun `a litertlm bundle`() {
        val info = BundleReader.read(litertlm())
        assertEquals(BundleFormat.LITERTLM, info.format)
        assertEquals(mapOf(MODEL to listOf("cpu", "gpu")), info.backends)
        assertEquals("gemma3", info.llmModelType)
        assertNull(info.minRuntimeVersion)
        assertEquals(mapOf("writer" to "edgegen 1"), info.header)
        assertEquals("TFLiteModel tf_lite_prefill_decode", info.members[0].name)
        assertEquals(64, info.kvCacheLen)
        assertEquals("<s>", info.parameters.startToken)
    }

    @Test
    fun `the side section says the rest, and METADATA counts`() {
        val text = BundleFiles.side(
            """
            "start_token": "<bos>", "start_token_id": 1, "stop_tokens": ["</s>", "x"],
            "stop_token_ids": [2, 3], "prompt_prefix_user": "U:", "prompt_suffix_user": "\n",
            "prompt_prefix_model": "M:", "prompt_suffix_model": "", "prompt_prefix_system": "",
            "prompt_suffix_system": "", "enable_bytes_to_unicode_mapping": true,
            "system_prompt": "Be brief \ud83d\ude00.", "pad_token": "<pad>", "pad_token_id": 0,
            "sampler": {"do_sample": true, "temperature": 0.7, "top_k": 40, "top_p": 1, "seed": 7},
            "max_tokens": 512, "max_output_tokens": 64, "chat_template": "{{ a }}",
            "template_tokens": {"bos_token": "<s>"}, "supports_thinking": true,
            "sources": {"top_k": "given"}
            """,
        )
        val told = BundleReader.read(task(SIDE_SECTION to text.encodeToByteArray())).parameters
        assertEquals("<s>", told.startToken)
        assertNull(told.startTokenId)
        assertEquals(emptyList(), told.stopTokenIds)
        assertEquals(Sampler(true, 0.7, 40, 1.0, 7), told.sampler)
        assertEquals("Be brief \uD83D\uDE00.", told.systemPrompt)
        assertEquals(512 to 64, told.maxTokens to told.maxOutputTokens)
        assertEquals(
            setOf("top_k", "start_token", "stop_tokens", "enable_bytes_to_unicode_mapping"),
            told.sources.keys,
        )
        assertEquals("<pad>" to 0, told.padToken to told.padTokenId)
        assertEquals(mapOf("bos_token" to "<s>"), told.templateTokens)
        assertEquals(true, told.supportsThinking)
    }

    @Test
    fun `LlmMetadata and the side section agree on a sampler`() {
        val sampled = BundleFiles.llmMetadata
            .message(4, Proto().number(1, 2).number(2, 40).float(3, 1f).float(4, 0.7f).number(5, 3))
            .number(5, 256).number(11, 1).text(14, "0.18.0").message(13, Proto().text(2, "<pad>"))
            .text(7, "{{ a }}").double(99)
        val info = BundleReader.read(
            litertlm(
                sampled,
                side(
                    """"start_token": "<s>", "stop_tokens": "</s>", "start_token_id": 1,
                    "sampler": {"temperature": 0.7, "top_k": 40, "seed": 3}, "pad_token_id": 0""",
                ),
            ),
        )
        assertEquals(Sampler(null, 0.7, 40, null, 3), info.parameters.sampler)
        assertEquals(1, info.parameters.startTokenId)
        assertNull(info.parameters.padTokenId)
        assertEquals(
            setOf("pad_token", "pad_token_id", "max_tokens", "supports_thinking"),
            info.parameters.sources.keys,
        )
        assertEquals("0.18.0", info.minRuntimeVersion)
        assertEquals(256, info.parameters.maxTokens)
    }

    @Test
    fun `samplers as LiteRT-LM has them`() {
        fun sampler(message: Proto) =
            BundleReader.read(litertlm(BundleFiles.llmMetadata.message(4, message)))
                .parameters.sampler
        assertEquals(
            Sampler(doSample = false, seed = 1),
            sampler(Proto().number(1, 3).number(5, 1)),
        )
        assertEquals(
            Sampler(true, 0.5, 5, null, null),
            sampler(Proto().number(1, 1).number(2, 5).float(4, 0.5f)),
        )
        assertEquals(Sampler(), sampler(Proto()))
        val greedy = BundleFiles.llmMetadata.message(4, Proto().number(1, 3))
        val told = BundleReader.read(
            litertlm(
                greedy,
                side(""""start_token": "<s>", "stop_tokens": "</s>", "sampler": {"top_k": 3}"""),
            ),
        )
        assertEquals(Sampler(doSample = false), told.parameters.sampler)
        assertContains(told.parameters.sources.keys, "sampler")
    }

    @Test
    fun `tokens that are named by their ids are looked up`() {
        val byId = Proto()
            .message(1, Proto().message(1, Proto().number(1, 1)))
            .message(2, Proto().message(1, Proto().bytes(1, byteArrayOf(0))))
            .message(13, Proto().message(1, Proto()))
        val told = BundleReader.read(litertlm(byId)).parameters
        assertEquals("<s>", told.startToken)
        assertEquals(listOf("<unk>"), told.stopTokens)
        assertNull(told.padToken)
        val hf = BundleReader.read(litertlm(byId, BundleFiles.Piece(6, ByteArray(9))))
        assertEquals("#1", hf.parameters.startToken)
        assertEquals(listOf(MODEL, null, METADATA, HF_TOKENIZER), hf.members.map { it.role })
        val several = Proto().message(1, Proto().message(1, Proto().number(1, 1).number(1, 2)))
        assertContains(refusal(litertlm(several)), "several ids")
        val beyond = Proto().message(1, Proto().message(1, Proto().number(1, 7)))
        assertContains(refusal(litertlm(beyond)), "token 7 is not in its tokenizer")
        val cut = Proto().message(1, Proto().message(1, Proto().bytes(1, byteArrayOf(-1))))
        assertContains(refusal(litertlm(cut)), "cut off")
    }

    @Test
    fun `values of a header of every type`() {
        val system = listOf(
            BundleFiles.item("1", u8(255), 1),
            BundleFiles.item("2", u8(255), 2),
            BundleFiles.item("3", Field.Bytes(little(2) { putShort(-1) }), 3),
            BundleFiles.item("4", Field.Bytes(little(2) { putShort(-1) }), 4),
            BundleFiles.item("5", i32(-1), 5),
            BundleFiles.item("6", i32(-1), 6),
            BundleFiles.item("7", i32(1.5f.toRawBits()), 7),
            BundleFiles.item("8", u8(1), 8),
            BundleFiles.item("10", i64(-1), 10),
            BundleFiles.item("11", i64(-1), 11),
            BundleFiles.item("12", i64(2.5.toRawBits()), 12),
            table(text("none"), u8(9), null),
        )
        val content = BundleFiles.litertlm(BundleFiles.pieces(), system)
        val info = BundleReader.read(BundleFiles.write(folder, "a.litertlm", content))
        assertEquals(
            listOf(
                "255",
                "-1",
                "65535",
                "-1",
                "4294967295",
                "-1",
                "1.5",
                "true",
                "18446744073709551615",
                "-1",
                "2.5",
            ),
            info.header.values.toList(),
        )
        val odd = BundleFiles.litertlm(
            BundleFiles.pieces(),
            listOf(BundleFiles.item("a", u8(1), 13)),
        )
        assertContains(refusal(odd, "a.litertlm"), "unknown type 13")
        val unnamed = BundleFiles.litertlm(
            BundleFiles.pieces(),
            listOf(table(null, u8(9), table(text("a")))),
        )
        assertContains(refusal(unnamed, "a.litertlm"), "no name")
        val empty = BundleFiles.litertlm(
            BundleFiles.pieces(),
            listOf(table(text("a"), u8(9), table())),
        )
        assertContains(refusal(empty, "a.litertlm"), "no value")
    }

    @Test
    fun `METADATA of older bundles has the user's template only`() {
        val older = Proto().text(5, "</s>").text(6, "<s>").number(7, 1)
            .message(8, Proto().text(1, "System.").text(2, "[").text(3, "]"))
        val told = parseMetadata(older.done())
        assertEquals("[" to "]", told.promptPrefixUser to told.promptSuffixUser)
        assertEquals("System.", told.systemPrompt)
        assertEquals(true, told.enableBytesToUnicodeMapping)
        assertEquals(
            "",
            parseMetadata(Proto().message(17, Proto().message(9, Proto())).done()).promptPrefixUser,
        )
        assertEquals(
            "s",
            parseMetadata(Proto().message(17, Proto().message(3, Proto().text(2, "s"))).done())
                .promptPrefixSystem,
        )
    }

    @Test
    fun `a message that is none is refused`() {
        for (wrong in listOf(
            Proto().raw(0x2b),
            Proto().raw(0x2a, 5, 1),
            Proto().raw(0x2a),
            Proto().raw(0x80),
            Proto().raw(*IntArray(11) { 0xff }),
            Proto().number(5, 1),
            Proto().bytes(5, byteArrayOf(-1)),
        )) {
            assertFailsWith<DamageException> { parseMetadata(wrong.done()) }
        }
        assertContains(refusal(litertlm(Proto().number(0, 1))), "no number")
        assertContains(refusal(litertlm(BundleFiles.llmMetadata.number(5, -1))), "max_tokens")
        val hot = Proto().number(1, 2).float(4, 1e9f)
        assertContains(refusal(litertlm(BundleFiles.llmMetadata.message(4, hot))), "temperature")
        val none = Proto().number(1, 2).float(4, Float.NaN)
        assertContains(
            refusal(litertlm(BundleFiles.llmMetadata.message(4, none))),
            "a number that is none",
        )
    }

    @Test
    fun `files that are no bundles are refused in words`() {
        assertEquals("There is no b.task.", refusal(folder.resolve("b.task")))
        assertContains(refusal(ByteArray(0)), "no zip file")
        assertContains(refusal(ByteArray(100_000)), "no zip file")
        val good = BundleFiles.task(BundleFiles.members())
        assertEquals(
            "a.task is no good bundle: it is no zip file, or cut off.",
            refusal(good.copyOf(good.size - 30)),
        )
        assertContains(refusal(good, "a.zip"), "does not end in .task")
        assertContains(refusal(good, ".task"), "does not end in .task")
        assertContains(
            refusal(BundleFiles.task(BundleFiles.members() - METADATA)),
            "it has no METADATA",
        )
        assertContains(
            refusal(BundleFiles.task(BundleFiles.members(MODEL to ByteArray(64)))),
            "no TFLite model",
        )
        assertContains(
            refusal(BundleFiles.task(BundleFiles.members(METADATA to ByteArray(1 shl 21)))),
            "expected at most",
        )
        val unreadable = BundleFiles.write(folder, "c.task", good)
        if (unreadable.setReadable(false) && !unreadable.canRead()) assertContains(
            refusal(unreadable),
            "cannot be read",
        )
    }

    @Test
    fun `a header that lies is refused`() {
        val good = BundleFiles.litertlm(BundleFiles.pieces())
        fun spoiled(at: Int, vararg values: Int) =
            good.copyOf().also { values.forEachIndexed { i, value -> it[at + i] = value.toByte() } }
        assertContains(refusal(good.copyOf(20), "a.litertlm"), "ends within its header")
        assertContains(refusal(spoiled(8, 2), "a.litertlm"), "format version 2")
        assertContains(refusal(spoiled(24, 1, 0), "a.litertlm"), "would end at byte 1")
        assertContains(refusal(spoiled(32, 0, 0, 0, 0x7f), "a.litertlm"), "lies outside")
        assertContains(refusal(good.copyOf(good.size - 1), "a.litertlm"), "cut off inside section")
        val model = BundleFiles.pieces()[0]
        assertContains(
            refusal(
                BundleFiles.litertlm(BundleFiles.pieces(BundleFiles.llmMetadata, model)),
                "a.litertlm",
            ),
            "several",
        )
        assertContains(
            refusal(BundleFiles.litertlm(BundleFiles.pieces().drop(1)), "a.litertlm"),
            "it has no $MODEL",
        )
        val twice = side(""""start_token": "a", "stop_tokens": "b"""")
        assertContains(
            refusal(litertlm(BundleFiles.llmMetadata, twice, twice)),
            "several sections for one thing",
        )
        val odd = BundleReader.read(
            litertlm(BundleFiles.llmMetadata, BundleFiles.Piece(99, ByteArray(1))),
        )
        assertEquals("type 99" to null, odd.members.last().let { it.name to it.role })
    }

    @Test
    fun `a model whose signatures lie is opened, and it is said`() {
        val model = BundleFiles.model()
        val content = BundleFiles.task(BundleFiles.members(MODEL to model.copyOf(60)))
        val info = BundleReader.read(BundleFiles.write(folder, "a.task", content))
        assertContains(assertNotNull(info.modelProblem), "its signatures cannot be read")
        assertEquals(emptyList(), info.signatures)
        val bare = Flat.of(table(i32(3)), "TFL3")
        val none = BundleReader.read(
            BundleFiles.write(
                folder,
                "b.task",
                BundleFiles.task(BundleFiles.members(MODEL to bare)),
            ),
        )
        assertEquals(emptyList<Signature>() to null, none.signatures to none.modelProblem)
    }
}
