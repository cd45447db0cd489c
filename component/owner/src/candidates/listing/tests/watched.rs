//! The paths that an owner may look at itself, instead of looking at the source.

use super::*;

#[test]
fn the_paths_that_are_watched_are_those_that_a_request_asks_for_while_nothing_changes() {
    let mut scene = Scene::of(SOME);
    scene.source.limits.sweep = Duration::from_secs(3600);
    scene.write(&format!("{}.policy.json", name(SOME - 1)), "{}", 1);
    scene.age();
    assert!(scene.source.watched().is_none(), "nothing has looked yet");
    let began = Instant::now();
    scene.look();
    let (paths, until) = scene.source.watched().expect("paths");
    let (_, calls) = scene.request();
    // The folder, the candidates, the one in service, and the card.
    assert_eq!((paths.len(), paths.len()), (calls, 1 + WATCHED + 1 + 1), "{paths:?}");
    assert_eq!(paths[0], scene.path("").components().collect::<PathBuf>());
    for path in [name(SOME - 1), name(0), format!("{}.policy.json", name(SOME - 1))] {
        assert!(paths.contains(&scene.path(&path)), "{path}");
    }
    assert!(until >= began + Duration::from_secs(3600));
    // The folder has the time of now, at which another file may come.
    fs::write(scene.path("model_new.onnx"), "x").expect("written");
    scene.look();
    assert!(scene.source.watched().is_none());
}
