package dev.edgegen.core.bench

import dev.edgegen.core.engine.EngineConfig
import dev.edgegen.core.engine.FailureKind
import dev.edgegen.core.engine.MeasuringStep
import dev.edgegen.core.engine.Workload
import java.io.File
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.json.jsonObject

class BenchRunnerTest {
    private val plan = BenchPlan(
        EngineConfig(File("a.task")),
        BundleFacts("a.task", "00", 7),
        Workload(32, 16),
        repeats = 2,
        coolDownS = 0.01,
        sampleIntervalS = 0.01,
    )

    private fun run(engine: Engine, probe: DeviceProbe = Probe()): List<BenchUpdate> = runBlocking {
        BenchRunner({ engine }, probe, "run", "1.0").run(plan).toList()
    }

    @Test
    fun `each run is a row, and those that count are summed up`() {
        var rate = 10.0
        val updates = run(
            Engine { _, workload -> told(workload).copy(decodeTokensPerS = rate++) },
            Probe(DeviceState(ThermalStatus.NONE, 30.0, 80.0, true, true)),
        )
        val rows = updates.filterIsInstance<BenchUpdate.Row>().map { it.record }
        assertEquals(listOf(Phase.WARMUP, Phase.KEPT, Phase.KEPT), rows.map { it.phase })
        assertEquals("pp32+tg16", rows[0].workload)
        assertEquals(
            "none" to 80.0,
            rows[0].conditions.let { it.thermalStatusBefore to it.batteryPercent },
        )
        assertTrue(BenchUpdate.Step(MeasuringStep.DECODE) in updates)
        assertTrue(BenchUpdate.Cooling(0.01) in updates)
        assertTrue(BenchUpdate.Running(1, 3, Phase.WARMUP) in updates)
        val finished = updates.last() as BenchUpdate.Finished
        assertEquals(Spread(11.5, 11.0, 12.0, 2), finished.summary.decodeTokensPerS)
        assertNull(finished.summary.ttftMs)
        assertEquals(0, finished.summary.failures)
        // One line each, with every name of the schema.
        val lines = recordLines(finished.records).trim().lines()
        assertEquals(3, lines.size)
        val row = wire.parseToJsonElement(lines[0]).jsonObject
        assertEquals(32, row.size)
        assertEquals(finished.records[0], wire.decodeFromString<Record>(lines[0]))
    }

    @Test
    fun `a failure is a row, and a hot device ends the benchmark`() {
        val failed = run(Engine { _, _ -> error("odd") }).last() as BenchUpdate.Finished
        assertEquals(3, failed.summary.failures)
        assertNull(failed.summary.initMs)
        var runs = 0
        val heating = object : DeviceProbe {
            override fun state() =
                DeviceState(if (runs > 1) ThermalStatus.SEVERE else ThermalStatus.NONE)
        }
        val hot = run(Engine { _, workload -> told(workload).also { runs++ } }, heating)
            .last() as BenchUpdate.Finished
        assertEquals(FailureKind.TOO_HOT, hot.records.last().failure?.kind)
        assertEquals(listOf(false, false, true), hot.records.map { it.failure != null })
        assertEquals(2, runs)
    }

    @Test
    fun `tests are named as edgegen does`() {
        assertEquals("pp512@d1024", workloadName(Workload(512, 0, 1024)))
        assertEquals("tg8", workloadName(Workload(0, 8)))
        assertEquals("pp128+tg32", PRESETS[0].first)
        assertEquals(Spread(2.0, 1.0, 3.0, 3), Spread.of(listOf(3.0, 1.0, 2.0)))
        assertNull(Spread.of(emptyList()))
    }
}
