package dev.edgegen.core.bundle

import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class SideSectionTest {
    @Test
    fun `a side section that is none is refused`() {
        val both = """"start_token": "a", "stop_tokens": ["b"]"""
        val wrong = mapOf(
            "" to "start_token",
            """"start_token": "a"""" to "stop_tokens",
            """$both, "new": 1""" to "unknown name",
            """$both, "start_token": "b"""" to "twice",
            """$both, "max_tokens": 0""" to "out of range",
            """$both, "max_tokens": 5.0""" to "no whole number",
            """$both, "max_tokens": true""" to "no whole number",
            """$both, "max_tokens": 99999999999999999999999""" to "no whole number",
            """$both, "sampler": {"temperature": 101}""" to "out of range",
            """$both, "sampler": {"temperature": "hot"}""" to "no number",
            """$both, "sampler": {"top_q": 1}""" to "unknown name",
            """$both, "sampler": 1""" to "no object",
            """$both, "supports_thinking": 1""" to "neither true nor false",
            """$both, "pad_token": null""" to "no text",
            """$both, "pad_token": "\ud800"""" to "half a character",
            """$both, "pad_token": "${"x".repeat(MAX_TEXT + 1)}"""" to "too long",
            """$both, "stop_token_ids": 1""" to "no list",
            """$both, "stop_token_ids": [${List(257) { 1 }.joinToString()}]""" to "257 entries",
            """$both, "sources": []""" to "no object",
        )
        for ((parameters, why) in wrong) {
            val refused = assertFailsWith<DamageException> {
                parseSideSection(BundleFiles.side(parameters).encodeToByteArray())
            }
            assertContains(refused.message, why)
        }
        for ((text, why) in mapOf(
            "[]" to "no object",
            "{}" to "format",
            """{"format": "edgegen.generation", "version": 2}""" to "another version",
            """{"format": "edgegen.generation", "version": 1, "x": 1}""" to "unknown name",
            """{"format": "edgegen.generation", "version": 1.0}""" to "parameters is no object",
        )) {
            assertContains(
                assertFailsWith<DamageException> {
                    parseSideSection(text.encodeToByteArray())
                }.message,
                why,
            )
        }
    }

    @Test
    fun `JSON as the specification has it`() {
        assertEquals(
            mapOf(
                "a" to listOf("\"\\/\b\u000c\n\r\tA", true, false, null),
                "b" to emptyMap<String,
                Any?>(),
                "c" to emptyList<Any?>(),
            ),
            StrictJson.parse(
                """ { "a" : [ "\"\\\/\b\f\n\r\t\u0041" , true, false, null ], "b": { },
                "c": [ ] } """,
            ),
        )
        assertEquals(-1.5e3, (StrictJson.parse("-1.5e3") as JsonNumber).real)
        for (wrong in listOf(
            "", "{", "[1", "[1,]", "{\"a\" 1}", "{a: 1}", "{\"a\": 1", "\"a", "\"\\x\"",
            "\"\\u12\"",
            "\"\n\"",
            "tru", "nul", "01", "-", "1 2", "NaN", "[".repeat(50),
        )) {
            assertFailsWith<DamageException>(wrong) { StrictJson.parse(wrong) }
        }
    }
}
