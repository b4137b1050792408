package dev.edgegen.core.bench

import dev.edgegen.core.engine.Delegate
import dev.edgegen.core.engine.EngineException
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.Measurement
import dev.edgegen.core.paths.AppFolders
import java.io.File
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFalse
import kotlin.test.assertNotNull
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.BeforeEach
import org.junit.jupiter.api.io.TempDir

class HeadlessRunnerTest {
    @TempDir lateinit var data: File
    private val lines = mutableListOf<String>()
    private val folder get() = data.resolve("files/bench/0a")
    private val request = BenchRequest(
        PROTOCOL, "0a", "files/bundles/1/a.task", 32, 16,
        timeoutS = 10.0, sampleIntervalS = 0.01,
    )

    @BeforeEach
    fun putBundle() {
        data.resolve("files/bundles/1").mkdirs()
        data.resolve("files/bundles/1/a.task").writeText("weights")
    }

    private fun ask(text: String = wire.encodeToString(request)) {
        folder.mkdirs()
        folder.resolve("request.json").writeText(text)
    }

    private fun ask(change: BenchRequest.() -> BenchRequest) = ask(
        wire.encodeToString(request.change()),
    )

    private fun run(
        engine: Engine = Engine { _, workload -> told(workload) },
        probe: DeviceProbe = Probe(),
        id: String = "0a",
        pin: (Long) -> Boolean = { true },
    ): BenchResult? = runBlocking {
        val folders = AppFolders(data, data.resolve("files"), data.resolve("cache"), null)
        HeadlessRunner(folders, { engine }, probe, { lines += it }, 4711, pin = pin).run(id)
    }

    private fun failure(
        engine: Engine = Engine { _, workload -> told(workload) },
        probe: DeviceProbe = Probe(),
    ): Failure = assertNotNull(run(engine, probe)?.failure)

    @Test
    fun `a run leaves its result and tells its progress`() {
        ask()
        data.resolve("files/bench/left-over").mkdirs()
        val result = assertNotNull(run(probe = Probe(DeviceState(celsius = 30.5))))
        assertNull(result.failure)
        assertEquals(
            Metrics(100.0, null, 32, 400.5, 16, 20.25, mapOf("tokenizer" to 3.0)),
            result.metrics,
        )
        assertEquals("Adreno" to "said", result.gpuAdapter to result.log)
        assertContains(result.series.lines()[0], "time_s,hwm_kib")
        assertTrue(assertNotNull(result.memory.peakRssBytes) > 1_000_000)
        assertContains(result.missing.keys, "gpu_bytes")
        assertEquals(result, wire.decodeFromString(folder.resolve("result.json").readText()))
        assertEquals(listOf("0a"), data.resolve("files/bench").list()?.toList())
        assertEquals(
            listOf("started", "opening", "prefill", "decode", "done"),
            lines.map { wire.decodeFromString<Progress>(it).state.name.lowercase() },
        )
        assertEquals("""{"id":"0a","state":"started","pid":4711}""", lines[0])
    }

    @Test
    fun `a name that is none has no place for a result`() {
        for (name in listOf("", "..", "a/b", "a.b", "x".repeat(65))) assertNull(run(id = name))
        assertTrue(lines.isEmpty())
    }

    @Test
    fun `a request that cannot be read is refused`() {
        assertEquals(
            Failure(
                FailureKind.REFUSED,
                "there is no bench/0a/request.json",
                "run edgegen bench again",
            ),
            failure(),
        )
        val hint = "docs/reference/app-runner.md says what it must be"
        ask("x".repeat(70_000))
        assertEquals(Failure(FailureKind.REFUSED, "the request has 70000 bytes", hint), failure())
        ask { copy(protocol = "edgegen.app-runner/9") }
        assertEquals(
            Failure(
                FailureKind.REFUSED,
                "the request speaks 'edgegen.app-runner/9', expected 'edgegen.app-runner/1'",
                "install the app of the same version as edgegen",
            ),
            failure(),
        )
        for (text in listOf("no json {", "[]", """{"protocol": "$PROTOCOL"}""")) {
            ask(text)
            val failure = failure()
            assertContains(failure.message, "the request cannot be read: ")
            assertEquals(FailureKind.REFUSED to hint, failure.kind to failure.hint)
        }
        assertContains(lines.last(), "failed")
    }

    @Test
    fun `a request for what cannot be is refused`() {
        val wrong: List<Pair<BenchRequest.() -> BenchRequest, String>> = listOf(
            Pair({ copy(id = "0b") }, "it is of the request '0b', expected '0a'"),
            Pair({ copy(prefillTokens = -1) }, "prefill_tokens is -1"),
            Pair({ copy(decodeTokens = 2_000_000) }, "decode_tokens is 2000000"),
            Pair({ copy(prefillTokens = 0, decodeTokens = 0) }, "it asks for no tokens"),
            Pair({ copy(depth = -1) }, "depth is -1"),
            Pair({ copy(threads = 0) }, "threads is 0"),
            Pair({ copy(cpuMask = 0) }, "cpu_mask names no CPU"),
            Pair({ copy(timeoutS = 0.0) }, "timeout_s is 0.0"),
            Pair({ copy(sampleIntervalS = -1.0) }, "sample_interval_s is -1.0"),
        )
        for ((change, why) in wrong) {
            ask(change)
            assertEquals("the request cannot be: $why", failure().message)
        }
        ask { copy(bundle = "../secret") }
        assertEquals(
            "the bundle '../secret' lies outside of the app's data folder",
            failure().message,
        )
    }

    @Test
    fun `a bundle that is not there is missing`() {
        ask { copy(bundle = "files/bundles/2/a.task") }
        assertEquals(
            Failure(
                FailureKind.MISSING,
                "there is no files/bundles/2/a.task in the app's data",
                "run edgegen bench again",
            ),
            failure(),
        )
    }

    @Test
    fun `a hot device is not measured`() {
        ask()
        val engine = Engine { _, workload -> told(workload) }
        assertEquals(
            Failure(
                FailureKind.TOO_HOT,
                "the device is too hot to be measured: its thermal status is severe, expected none",
                "let it rest away from sun and charger, and run it again",
            ),
            failure(engine, Probe(DeviceState(thermalStatus = ThermalStatus.of(3)))),
        )
        assertContains(
            failure(engine, Probe(DeviceState(celsius = 44.5))).message,
            "its battery has 44.5 °C, expected at most 43.0 °C",
        )
        assertTrue(engine.configs.isEmpty())
        assertNull(ThermalStatus.of(9))
    }

    @Test
    fun `what the engine is given`() {
        ask { copy(delegate = Delegate.GPU, threads = 2, cold = true) }
        val engine = Engine { config, workload ->
            assertEquals(emptyList(), config.cacheFolder?.list()?.toList())
            config.cacheFolder?.resolve("prepared")?.writeText("x")
            told(workload)
        }
        assertNull(run(engine)?.failure)
        assertNull(run(engine)?.failure, "what was prepared was not removed")
        val config = engine.configs.first()
        assertEquals(Delegate.GPU to 2, config.delegate to config.threads)
    }

    @Test
    fun `threads that cannot be pinned are said`() {
        ask { copy(cpuMask = 0xf0) }
        val pinned = mutableListOf<Long>()
        assertNull(run(pin = { pinned += it; true })?.failure)
        assertEquals(listOf(0xf0L), pinned)
        assertEquals(
            Failure(
                FailureKind.UNSUPPORTED,
                "the app cannot pin its threads to the CPUs f0",
                "leave out --cpu-mask, or use a runner of programs",
            ),
            run(pin = { false })?.failure,
        )
        assertFalse(pinByTaskset(Int.MAX_VALUE, 1))
        // A process of its own, or all other tests would be pinned.
        val other = ProcessBuilder("sleep", "10").start()
        assertTrue(pinByTaskset(other.pid().toInt(), 1))
        other.destroy()
    }

    @Test
    fun `what an engine does is a row`() {
        ask()
        val refused = EngineException(FailureKind.REFUSED, "no decode", "build it again")
        assertEquals(
            Failure(FailureKind.REFUSED, "no decode", "build it again"),
            failure(Engine { _, _ -> throw refused }),
        )
        val broken = failure(Engine { _, _ -> error("odd") })
        assertEquals("IllegalStateException: odd", broken.message)
        assertEquals(FailureKind.CRASHED, broken.kind)
        assertContains(broken.excerpt, "HeadlessRunnerTest")
        assertEquals(
            FailureKind.OUT_OF_MEMORY,
            failure(Engine { _, _ -> throw OutOfMemoryError("x") }).kind,
        )
        assertEquals(
            Failure(
                FailureKind.NO_RESULT,
                "test engine ended without telling any rate",
                "see its log",
            ),
            failure(Engine { _, _ -> Measurement() }),
        )
        assertEquals("Exception: no message", failureOf(Exception()).message)
    }

    @Test
    fun `a run that takes too long is ended`() {
        ask { copy(timeoutS = 0.2) }
        assertEquals(
            Failure(
                FailureKind.TIMED_OUT,
                "the engine was not done after 0.2 s and was ended",
                "allow more time, or ask for fewer tokens",
            ),
            failure(Engine { _, _ -> awaitCancellation() }),
        )
    }

    @Test
    fun `who is cancelled leaves nothing`() = runBlocking {
        ask()
        val folders = AppFolders(data, data.resolve("files"), data.resolve("cache"), null)
        val runner = HeadlessRunner(
            folders,
            { Engine { _, _ -> awaitCancellation() } },
            Probe(),
            { },
            1,
        )
        val job = launch { runner.run("0a") }
        delay(200)
        job.cancel(CancellationException("gone"))
        job.join()
        assertFalse(folder.resolve("result.json").exists())
    }

    @Test
    fun `samples of a process that tells nothing`() {
        val sampler = ProcessSampler(Probe(), 0.01, data.resolve("none"))
        sampler.start()
        val samples = sampler.stop()
        assertEquals(Memory(), samples.memory)
        assertEquals(setOf("rss_bytes", "pss_bytes", "celsius", "gpu_bytes"), samples.missing.keys)
    }
}
