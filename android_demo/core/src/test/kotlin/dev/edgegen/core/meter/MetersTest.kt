package dev.edgegen.core.meter

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse
import kotlin.test.assertNull
import kotlin.test.assertTrue

class MetersTest {
    private val second = 1_000_000_000L

    @Test
    fun `the rate is that of the tokens after the first`() {
        val meter = TokenRateMeter(second)
        assertEquals(TokenRates(), meter.rates)
        val one = meter.onTokens(1, 2 * second)
        assertEquals(TokenRates(1000.0, 1, null), one.rates)
        val three = one.onTokens(0, 9 * second).onTokens(1, 3 * second).onTokens(1, 4 * second)
        assertEquals(TokenRates(1000.0, 3, 1.0), three.rates)
    }

    @Test
    fun `tokens of the first burst have no time of their own`() {
        val burst = TokenRateMeter(0).onTokens(3, second).onTokens(3, 2 * second)
        assertEquals(TokenRates(1000.0, 6, 3.0), burst.rates)
    }

    @Test
    fun `a clock that goes back makes no negative rate`() {
        val meter = TokenRateMeter(second).onTokens(1, 0).onTokens(1, 0)
        assertEquals(TokenRates(0.0, 2, null), meter.rates)
        assertFailsWith<IllegalArgumentException> { meter.onTokens(-1, 0) }
    }

    @Test
    fun `the context is counted by the engine where it counts`() {
        var asked = 0
        val meter = ContextMeter(100) { asked++; it.length }
        assertEquals(ContextUse(3 + 2 + 8, 100, false), meter.of(listOf("abc", "de")))
        // Only the last text can still grow; the others are known.
        assertEquals(ContextUse(3 + 3 + 8, 100, false), meter.of(listOf("abc", "def")))
        assertEquals(3, asked)
    }

    @Test
    fun `the context is estimated where nobody counts`() {
        val use = ContextMeter(null) { null }.of(listOf("seven c"))
        assertEquals(ContextUse(6, null, true), use)
        assertNull(use.fraction)
        assertEquals(ContextLevel.ROOM, use.level)
        assertEquals(1, ContextMeter.estimate("\uD83D\uDE00"))
    }

    @Test
    fun `a context that fills up says so`() {
        assertEquals(ContextLevel.ROOM, ContextUse(89, 100, false).level)
        assertEquals(ContextLevel.NEARLY_FULL, ContextUse(90, 100, false).level)
        assertEquals(ContextLevel.FULL, ContextUse(100, 100, false).level)
        assertEquals(0.5f, ContextUse(50, 100, false).fraction)
        assertEquals(1f, ContextUse(150, 100, false).fraction)
    }

    @Test
    fun `few texts are remembered`() {
        var asked = 0
        val meter = ContextMeter(null) { asked++; 1 }
        val texts = List(400) { "text $it" }
        meter.of(texts)
        meter.of(texts.takeLast(10))
        assertTrue(asked in 400..402, "$asked")
        assertFalse(meter.of(listOf("text 0", "x")).estimated)
    }
}
